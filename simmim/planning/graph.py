"""The jobs that files come from, and which of them Snakemake would run (torch-free)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from simmim.jobs import Job, Jobs
from simmim.planning.done import is_outdated, is_there


@dataclass(frozen=True)
class Graph:
    """Jobs by one of their outputs, each after the jobs whose outputs it reads.

    Args:
        asked: the files that are asked for.
        makers: file to the name of the job that makes it, for every file that a job of the graph makes and another
            reads, or that is asked for.
    """

    asked: frozenset[str]
    jobs: dict[str, Job]
    makers: dict[str, str]

    def makers_of_inputs(self, job: Job) -> set[str]:
        """Names of the jobs whose outputs a job reads."""
        return self._makers_of(job.input_files())

    def _follows(self, job: Job) -> set[str]:
        """Names of the jobs after which a job runs again: those whose outputs it does not compare by content."""
        return self._makers_of({*job.input_files()} - {*job.inputs_by_content()})

    def _makers_of(self, files: Iterable[str]) -> set[str]:
        return {self.makers[file] for file in files if file in self.makers}

    def to_run(self) -> set[str]:
        """Names of the jobs that would run.

        A job runs if its outputs were made with another config or from other data, if an output is missing that is
        asked for or that a job to run reads, or if a job that makes one of its inputs is to run, packing aside. A
        missing output that nothing reads is not made again.
        """
        missing, more = self._missing(), {name for name, job in self.jobs.items() if is_outdated(job)}
        more |= {self.makers[file] for file in self.asked & missing}
        running: set[str] = set()
        while more:
            running |= more
            read = {file for name in more for file in self.jobs[name].input_files()}
            following = {name for name, job in self.jobs.items() if self._follows(job) & more}
            more = ({self.makers[file] for file in read & missing} | following) - running
        return running

    def _missing(self) -> set[str]:
        """Files that a job of the graph makes and that are not there."""
        return {
            file
            for job in self.jobs.values()
            for role, file in job.outputs.items()
            if file in self.makers and not is_there(job, role)
        }


def graph_of(files: Iterable[str], jobs: Jobs) -> Graph:
    """Every job that files come from, directly or through the inputs of other jobs."""
    files, found, makers = list(files), {}, {}

    def visit(file: str) -> None:
        job = jobs.maker(file)
        if job is None or file in makers:
            return
        makers[file] = name = next(iter(job.outputs.values()))
        for each in job.input_files():
            visit(each)
        found.setdefault(name, job)

    for file in files:
        visit(file)
    return Graph(frozenset(files), found, makers)
