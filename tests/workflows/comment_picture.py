"""Draws the comment on a pull request as GitHub shows it, for docs/ci.md, from the results of a finished `make demo`.

    $ .venv/bin/python -m tests.workflows.comment_picture

The base is the same demo without its last recipe, so the picture is of a change that adds it. GitHub's own style and
Mermaid are fetched by npm into a temporary folder; Chromium draws.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt
from PIL import Image
from playwright.sync_api import sync_playwright

from pipeline.ci import run_record, summary_text
from pipeline.ci.summary_text import Base, Links
from pipeline.project.params import load_params
from pipeline.report.collect import collect
from tests.browser import BROWSER

PICTURES = Path("docs/pictures")
PACKAGES = ("github-markdown-css@5", "mermaid@11")
WIDTH = 1090
FRAME = {"light": ("#ffffff", "#f6f8fa", "#d0d7de"), "dark": ("#0d1117", "#151b23", "#3d444d")}  # page, head, line
THEME = {"light": "default", "dark": "dark"}
PAGE = """<!doctype html><meta charset="utf-8"><style>{style}
body {{ margin: 0; background: {page}; font-family: "Noto Sans", "Liberation Sans", sans-serif }}
main {{ margin: 16px; border: 1px solid {line}; border-radius: 6px }}
header {{ padding: 8px 16px; background: {head}; border-bottom: 1px solid {line}; font-size: 14px }}
article {{ padding: 16px; font-size: 14px !important }}
article table {{ display: table !important }}
.chart {{ background: transparent !important; text-align: center }}</style>
<main><header class="markdown-body"><b>github-actions</b> bot commented</header>
<article class="markdown-body">{body}</article></main><script>{mermaid}</script>"""


def comment() -> str:
    """The Markdown of the change that adds the last recipe of params.yaml."""
    params = load_params()
    record = run_record.of(collect(params)).model_copy(update={"commit": "5d" * 20})
    added = params.methods[-1]
    before = record.model_copy(update={"entries": [entry for entry in record.entries if entry.method != added]})
    links = Links(run="https://github.com", page="https://github.com")
    return summary_text.markdown(record, "5d" * 20, Base(before, "b4" * 20), links)


def page(markdown: str, packages: Path, scheme: str) -> str:
    """As GitHub would draw it in a scheme, light or dark."""
    body = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(markdown)
    body = re.sub(r'<pre><code class="language-mermaid">(.*?)</code></pre>', r'<pre class="chart">\1</pre>', body,
                  flags=re.S)  # fmt: skip
    back, head, line = FRAME[scheme]
    style = (packages / f"github-markdown-css/github-markdown-{scheme}.css").read_text(encoding="utf-8")
    mermaid = (packages / "mermaid/dist/mermaid.min.js").read_text(encoding="utf-8").replace("</script", "<\\/script")
    return PAGE.format(style=style, body=body, mermaid=mermaid, page=back, head=head, line=line)


def draw(markdown: str, out: Path) -> None:
    """Write comment-light.png and comment-dark.png into a folder."""
    if not BROWSER or not shutil.which("npm"):
        sys.exit("this needs Chromium and npm")
    with tempfile.TemporaryDirectory() as room, sync_playwright() as started:
        subprocess.run(
            ["npm", "install", "--no-fund", "--no-audit", "--ignore-scripts", *PACKAGES], cwd=room, check=True
        )
        chromium = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        for scheme in FRAME:
            view = chromium.new_page(viewport={"width": WIDTH, "height": 800})
            view.set_content(page(markdown, Path(room, "node_modules"), scheme))
            view.evaluate("theme => mermaid.initialize({startOnLoad: false, theme})", THEME[scheme])
            view.evaluate("() => mermaid.run({querySelector: '.chart'})")
            view.wait_for_selector(".chart svg")
            picture = out / f"comment-{scheme}.png"
            view.screenshot(path=picture, full_page=True)
            with Image.open(picture) as drawn:
                few = drawn.convert("RGB").quantize(96, dither=Image.Dither.NONE)
            few.save(picture, optimize=True)
            print(f"{picture}: {few.width}x{few.height}, {picture.stat().st_size:,} bytes")
        chromium.close()


if __name__ == "__main__":
    draw(comment(), PICTURES)
