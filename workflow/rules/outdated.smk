# Which results are to be made again though they are newer than what they were made of.
from snakemake.persistence.file import FilePersistence


def is_asked_for(scale):
    """Whether the command is about a scale that has results: by the config, or by a file that it names."""
    is_named = any(word.startswith(f"{JOBS.results}/{scale}/") for word in sys.argv)
    return (is_named or scale == config["scale"]) and Path(JOBS.results, scale).is_dir()


# Snakemake compares settings with those it has noted, and notes none for a job that ends after Snakemake was killed. What
# the files themselves say counts too: those of other settings or data are to be made again, as incomplete ones are, for as
# long as these differ. A dry run with a setting that is then taken back must not cost a training.
for scale in filter(is_asked_for, JOBS.sheets.scales()) if workflow.is_main_process else ():
    outdated = {*filter(None, shell(f"python -m simmim outdated --scale {scale}", iterable=True))}
    marks, marked = FilePersistence(nolock=True), Path(".snakemake", f"outdated_{scale}.txt")
    for file in {*marked.read_text().splitlines()} - outdated if marked.exists() else ():
        marks._unmark_incomplete(file)
    for file in outdated:
        marks._mark_incomplete(file, None)
    marked.write_text("\n".join(sorted(outdated)))
