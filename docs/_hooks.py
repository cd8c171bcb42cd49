"""What MkDocs does to pages that are also read elsewhere: `config/README.md` is the page of the sheets (sheets.md, a link)."""


def on_page_markdown(markdown: str, page, **_) -> str:
    """Links of `config/README.md` lead into this folder."""
    return markdown.replace("](../docs/", "](") if page.file.src_uri == "sheets.md" else markdown
