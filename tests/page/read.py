"""Reads pages of runs in a browser as a person would. See `run`."""

import json
import re
import sys

from browser import Browser

FAILURES = []


def check(what, holds, seen=""):
    print(f"  {'ok' if holds else 'FAILED'}  {what}{'' if holds else f': {seen}'}")
    if not holds:
        FAILURES.append(what)


def data_of(page):
    """What the page was given, read without a browser."""
    text = open(page, encoding="utf-8").read()
    return json.loads(re.search(r'id="run">(.*?)</script>', text, re.S).group(1))


class Reader:
    """What somebody sees and does."""

    def __init__(self, browser):
        self.browser = browser

    def text(self, selector):
        return self.browser.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def said(self):
        return self.text("#said")

    def centre(self, selector):
        box = self.browser.run(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
                               f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())")
        return box

    def click(self, selector):
        self.browser.click(*self.centre(selector))

    def span(self):
        """How much time the diagram shows."""
        return int(re.sub(r"\D", "", self.text("#range")))

    def choose(self, key):
        self.browser.run(f"(() => {{ const box = document.getElementById('key'); box.value = '{key}';"
                         " box.dispatchEvent(new Event('change')); })()")
        self.browser.settle()

    def table(self):
        rows = self.browser.run("[...document.querySelectorAll('#replicas tbody tr')]"
                                ".map((row) => [...row.cells].map((cell) => cell.innerText.trim()))")
        return {row[0]: row[1:] for row in rows if len(row) == 4}

    def ink(self):
        """How many points of the plot are not of its commonest colour: whether anything is drawn."""
        return self.browser.run("""(() => {
            const copy = new OffscreenCanvas(plot.width, plot.height);
            const context = copy.getContext('2d', { willReadFrequently: true });
            context.drawImage(plot, 0, 0);
            const points = context.getImageData(0, 0, plot.width, plot.height).data;
            const colours = new Map();
            for (let at = 0; at < points.length; at += 4 * 7) {
                const colour = points.slice(at, at + 4).join();
                colours.set(colour, (colours.get(colour) || 0) + 1);
            }
            const all = [...colours.values()];
            return all.reduce((a, b) => a + b, 0) - Math.max(...all);
        })()""")


def check_page(reader, data):
    """What every page must do, whatever its run."""
    ops, messages = data["ops"], data["messages"]
    faults = len(data["faults"])
    check("it says how much there is", reader.said().startswith(
        f"{len(ops):,} requests, {len(messages):,} messages, {faults} fault"), reader.said())
    check("the run is large enough to tell", len(ops) + len(messages) > 2000 and data["nodes"] >= 5, (len(messages), data["nodes"]))
    check("something is drawn", reader.ink() > 5000, reader.ink())
    check_zoom(reader)
    check_filters(reader, data)
    took = reader.browser.run("(() => { setView(0, END); const at = performance.now();"
                              " for (let time = 0; time < 10; time += 1) draw();"
                              " return (performance.now() - at) / 10; })()")
    print(f"        {len(messages):,} messages, the whole run drawn in {took:.1f} ms")


def check_failed(reader, page):
    data = data_of(page)
    reader.browser.load(page)
    check("the verdict names the oracle", "linear" in reader.text("#verdict"), reader.text("#verdict"))
    check("the promise is told", "one after the other" in reader.text("#broken"), reader.text("#broken"))
    check_page(reader, data)
    check_bad(reader, data, data["failure"])


def check_zoom(reader):
    browser, whole = reader.browser, reader.span()
    x, y = reader.centre("#stage")
    browser.wheel(x, y, -400)
    near = reader.span()
    check("the wheel zooms in", near < whole, (near, whole))
    before = browser.run("state.from")
    browser.drag(x, y, x - 200, y)
    check("dragging moves", browser.run("state.from") > before and abs(reader.span() - near) <= 1, reader.span())
    before = browser.run("state.from")
    browser.key("ArrowLeft")
    check("an arrow key moves back", browser.run("state.from") < before, before)
    browser.key("-")
    check("a key zooms out", reader.span() > near, reader.span())
    reader.click("#fit")
    check("a button shows the whole run", reader.span() == whole, reader.span())
    browser.mouse("mouseMoved", x, y)
    reader.click("#help")
    check("there is a legend", "lost" in reader.text("#legend"), reader.text("#legend"))
    browser.key("?")


def check_filters(reader, data):
    key = max(range(len(data["keys"])), key=lambda one: sum(1 for op in data["ops"] if one in op[8]))
    reader.choose(key)
    about = [op for op in data["ops"] if key in op[8]]
    name = f"{data['keys'][key][1]} in database {data['keys'][key][0]}"
    check("a key leaves its requests", reader.said().startswith(f"Key {name}: {len(about):,} requests"), reader.said())
    links = data["groups"].index("links")
    groups = [group for _, group in data["kinds"]]
    keys = [set(op[8]) for op in data["ops"]]

    def is_about(row):
        step = keys[row[8]:row[8] + row[9]]
        return groups[row[5]] != links and (key in row[7] or any(key in one for one in step))

    told = sum(1 for row in data["messages"] if is_about(row))
    check("and the messages about it", f"{told:,} messages" in reader.said(), reader.said())
    everywhere = reader.browser.run("lanes.filter((lane) => lane.kind === 'node').length")
    reader.click("#nodes input")
    lanes = reader.browser.run("lanes.filter((lane) => lane.kind === 'node').map((lane) => lane.name).join()")
    others = ",".join(f"n{node}" for node in range(1, data["nodes"]))
    check("a node is hidden", (everywhere, lanes) == (data["nodes"], others), lanes)
    reader.click("#nodes input")
    check_table(reader, data, key)
    reader.choose(-1)
    check("all keys again", reader.said().startswith(f"All keys: {len(data['ops']):,} requests"), reader.said())


def check_table(reader, data, key):
    """At several times, what the table says of a key is what the run's changes add up to."""
    left, top, width, height = reader.browser.run(
        "(({ left, top, width, height }) => [left, top, width, height])(axis.getBoundingClientRect())")
    wrong, values = [], set()
    for part in (0.1, 0.3, 0.5, 0.7, 0.9):
        reader.browser.click(left + width * part, top + height / 2)
        cursor, held = reader.browser.run("state.cursor"), {}
        for change in data["changes"]:
            if change[2] == key and change[0] <= cursor:
                held[f"n{change[1]}"] = "nothing" if len(change) < 4 else change[4] or "a tombstone"
        table = reader.table()
        values |= set(held.values())
        wrong += [(cursor, name, row) for name, row in table.items() if not row[0].startswith(held.get(name, "nothing"))]
        wrong += [] if sorted(table) == [f"n{node}" for node in range(data["nodes"])] else [table]
    check("the table says what each node holds at the cursor", wrong == [] and len(values) > 1, (wrong, values))


def check_bad(reader, data, failure):
    reader.click("#bad")
    op = data["ops"][failure["op"]]
    words = f"c{op[0]} on n{op[1]}: {op[6]} \u2192 {op[7]}"
    at = f"{failure['at'] // 1000:,}.{failure['at'] % 1000:03} ms"
    check("the first bad event is told", reader.said().startswith(f"First bad event at {at}: {words}"), reader.said())
    check("and picked", words in reader.text("#picked"), reader.text("#picked"))
    check("and in sight", reader.browser.run("state.from") < op[3] and reader.browser.run("state.to") > failure["at"])
    check("the table is of its time", at in reader.text("#replicas h2"), reader.text("#replicas"))
    check("and says who leads", sum("leads" in row[2] for row in reader.table().values()) > 0, reader.table())
    reader.browser.key(".")
    check("a step leads to the next event", reader.browser.run("state.cursor") > failure["at"])
    reader.browser.key("b")


def check_fine(reader, page):
    reader.browser.load(page)
    check_page(reader, data_of(page))
    check("a run that is well says so", "All oracles hold" in reader.text("#verdict"), reader.text("#verdict"))
    check("and offers no bad event", reader.browser.run("document.getElementById('bad').hidden"))
    reader.browser.key("b")
    check("nor has one", reader.said() == "Nothing is wrong in this run.", reader.said())


def check_text(reader):
    small = reader.browser.run("""[...document.querySelectorAll('body *')].filter((one) => one.innerText
        && parseFloat(getComputedStyle(one).fontSize) < 12).map((one) => one.tagName).join()""")
    check("no text is smaller than 12 px", small == "", small)
    over = reader.browser.run("document.documentElement.scrollWidth > innerWidth")
    check("nothing is wider than the window", not over)


def main(program, place, shots):
    browser = Browser(program)
    try:
        reader = Reader(browser)
        for width, height, dark in [(1440, 900, False), (800, 600, True)]:
            print(f"{width}x{height}, {'dark' if dark else 'light'}")
            browser.size(width, height, dark)
            check_failed(reader, f"{place}/failed.html")
            browser.load(f"{place}/failed.html")
            browser.screenshot(f"{shots}/whole-{width}.png")
            browser.key("b")
            browser.screenshot(f"{shots}/bad-{width}.png")
            check_text(reader)
            check_fine(reader, f"{place}/fine.html")
        check("nothing on the console", browser.complaints == [], browser.complaints)
        outside = [url for url in browser.requests if not url.startswith(f"file://{place}/")]
        check("nothing from elsewhere", outside == [] and browser.requests, outside)
    finally:
        browser.close()
    if FAILURES:
        sys.exit(f"{len(FAILURES)} failed")


main(*sys.argv[1:])
