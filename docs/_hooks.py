"""What MkDocs does to a page that is also read elsewhere: sheets.md is a link to `config/README.md`."""


def on_page_markdown(markdown: str, page, **_) -> str:
    """Links of `config/README.md` lead into this folder."""
    return markdown.replace("](../docs/", "](") if page.file.src_uri == "sheets.md" else markdown
