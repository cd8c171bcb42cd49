"""What MkDocs does to pages that are also read elsewhere: `sheets.md` and `figures` are links to what lies outside."""


def on_page_markdown(markdown: str, page, **_) -> str:
    """Links of `config/README.md`, and those to the figures of `results/small`, lead into this folder."""
    markdown = markdown.replace("](../results/small/figures/", "](figures/")
    return markdown.replace("](../docs/", "](") if page.file.src_uri == "sheets.md" else markdown
