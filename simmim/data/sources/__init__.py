"""Source adapters: one file and one public class per kind of data set, made by `plugin.build("data.sources", ...)`."""
