"""A Markdown page as one self-contained HTML file, with its pictures embedded.

Called by `loadtest.capacity.report`.
"""

import base64
import re
from pathlib import Path

from markdown_it import MarkdownIt

STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  color: #222 }
table { border-collapse: collapse; font-size: 14px; display: block; overflow-x: auto }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: right }
img { max-width: 100% }
code { background: #f3f3f3; padding: 0 .2rem }
"""


def write_html(page: str, path: Path) -> None:
    """Render a page whose pictures are in the folder of `path`."""
    body = MarkdownIt("commonmark").enable("table").render(page)
    body = re.sub(r'src="([^"]+\.png)"', lambda found: embed(path.parent / found[1]), body)
    title = page.splitlines()[0].lstrip("# ")
    path.write_text(
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>\n'
        f"<style>\n{STYLE}</style></head>\n<body>\n{body}</body>\n</html>\n"
    )


def embed(picture: Path) -> str:
    encoded = base64.b64encode(picture.read_bytes()).decode()
    return f'src="data:image/png;base64,{encoded}"'
