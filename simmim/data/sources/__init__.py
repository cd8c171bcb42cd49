"""Source adapters: one file and one public class per kind of data set, made by `plugin.build("data.sources", ...)`."""

CONTEXT = ()  # arguments of the constructor that the code passes, not a sheet
