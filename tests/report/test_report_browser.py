"""The pages in a real browser: nothing from a network, nothing to complain of, every figure drawn,
a phone's width, dark, paper."""

import json
import os
import re
import shutil
import subprocess
from html import unescape

import pytest
from compiling import tool
from documents import ROOT, added
from dossiers import design_of

from lstm_mpc.directory import Project
from lstm_mpc.report.write import BROWSERS, QUIET, printed

pytestmark = pytest.mark.slow

# A page around the page, which looks at it and writes down what it sees.
PROBE = """<!DOCTYPE html><meta charset="utf-8">
<iframe id="f" src="page.html" style="width:{width}px;height:800px;border:0"></iframe>
<pre id="seen"></pre><script>
document.getElementById("f").onload = () => {{
  const d = document.getElementById("f").contentDocument, root = d.documentElement;
  const boxes = [...d.querySelectorAll("figure svg, figure img")];
  const dead = [...d.querySelectorAll("a[href]")]
    .filter(a => !d.getElementById(a.getAttribute("href").slice(1)));
  const high = e => {{ const b = e.getBoundingClientRect(); return Math.min(b.width, b.height); }};
  const cut = [...d.querySelectorAll("table")].map(t => t.parentElement)
    .filter(e => e.scrollWidth > e.clientWidth);
  const maths = [...d.querySelectorAll("math")].map(high);
  document.getElementById("seen").textContent = JSON.stringify({{
    wide: root.scrollWidth, room: root.clientWidth, figures: boxes.length,
    least: Math.min(...boxes.map(high)), maths: maths.length,
    flattest: Math.min(...maths), dead: dead.length, cut: cut.length, links: d.links.length,
    page: getComputedStyle(d.body).backgroundColor }});
}};
</script>"""


@pytest.fixture(scope="module")
def browser():
    return next((name for name in BROWSERS if shutil.which(name)), None) or tool("chromium")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The shipped design's report, and the comparison of a random design with itself."""
    folder = tmp_path_factory.mktemp("pages")
    design = design_of(folder / "random", nu=1, nx=(3,), ny=1)
    shipped = shutil.copytree(ROOT / "models" / "ph", folder / "ph", ignore=added)
    Project(shipped).report(folder / "report.html")
    Project(design).compare(design, folder / "comparison.html")
    return folder


def looked_at(browser, page, place, *, width, dark):
    """What the probe sees, and what the console and the network log hold."""
    place.mkdir()
    shutil.copy(page, place / "page.html")
    (place / "probe.html").write_text(PROBE.format(width=width), encoding="utf-8")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    offline = [
        "--proxy-server=127.0.0.1:9",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--allow-file-access-from-files",
    ]
    command = [
        browser,
        *QUIET,
        *sandbox,
        *offline,
        scheme,
        f"--user-data-dir={place}/profile",
        f"--log-net-log={place}/net.json",
    ]
    command += [
        "--enable-logging=stderr",
        "--virtual-time-budget=10000",
        "--dump-dom",
        (place / "probe.html").as_uri(),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    seen = re.search(r'<pre id="seen">(.*?)</pre>', ran.stdout, re.DOTALL)
    assert seen, ran.stderr[-2000:]
    log = (place / "net.json").read_text(
        encoding="utf-8"
    )  # the browser's own questions have no origin
    asked = {
        url
        for origin, url in re.findall(r'"initiator":"([^"]*)".*"url":"(https?:[^"]*)"', log)
        if origin != "not an origin"
    }
    console = [line for line in ran.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(unescape(seen[1])), console, asked


@pytest.mark.parametrize(
    ("name", "width", "dark"),
    [
        ("report", 1000, False),
        ("report", 500, False),
        ("report", 360, True),
        ("comparison", 360, False),
    ],
)
def test_a_browser_has_nothing_to_complain_of(browser, pages, tmp_path, name, width, dark):
    seen, console, asked = looked_at(
        browser, pages / f"{name}.html", tmp_path / "look", width=width, dark=dark
    )
    assert not console
    assert not asked
    assert seen["wide"] <= seen["room"] <= width
    assert seen["figures"] == (12 if name == "report" else 18)
    assert seen["least"] > 100
    assert seen["dead"] == seen["cut"] == 0
    assert seen["links"] > 1
    assert seen["maths"] == 0 or seen["flattest"] > 10
    assert seen["page"] == ("rgb(20, 24, 29)" if dark else "rgb(255, 255, 255)")


def test_a_page_of_which_there_is_much_to_complain(browser, tmp_path):
    bad = (
        '<!DOCTYPE html><figure><svg height="9"></svg></figure><a href="#x">x</a><div'
        ' style="width:900px">x</div><div style="overflow:auto;width:99px"><table><tr><td><div'
        ' style="width:300px">x</div></table></div>'
    )
    (tmp_path / "bad.html").write_text(
        bad + '<img src="http://somewhere.example/x.png"><script>console.error("x")</script>'
    )
    seen, console, asked = looked_at(
        browser, tmp_path / "bad.html", tmp_path / "look", width=360, dark=False
    )
    assert asked == {"http://somewhere.example/x.png"}
    assert console
    assert seen["wide"] > seen["room"]
    assert seen["least"] < 10
    assert seen["dead"] == seen["cut"] == 1


def test_it_prints(browser, pages):
    pdf = printed(pages / "report.html", browser)
    assert pdf.startswith(b"%PDF")
    assert 10 < len(re.findall(rb"/Type\s*/Page\b", pdf)) < 30
