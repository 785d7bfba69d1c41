"""The page of a review: every field, a form beside it, and a button that saves the sheet. One file, no network."""

import base64
import html
import json
from collections.abc import Sequence

from parfocal.edge.slide.review.grades import GRADES, UP_TO, WORDS
from parfocal.edge.slide.review.sheet import FIRST, LAST, column_of

STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;color:#222;max-width:1180px;margin:1.5em auto;padding:0 1em}"
    "h1{font-size:1.4em}table{border-collapse:collapse;margin:.6em 0}td,th{border:1px solid #ccc;padding:.2em .7em;"
    "text-align:left}section{display:flex;gap:1.2em;margin:1.6em 0;border-top:1px solid #ddd;padding-top:1em}"
    "section img{width:820px;max-width:70vw;height:auto;cursor:zoom-in;background:#eee}"
    "section img.full{width:auto;max-width:none}fieldset{border:0;padding:0;margin:0;min-width:230px}"
    "label{display:block;margin:.45em 0}input[type=number]{width:6em}textarea{width:100%}"
    "header{position:sticky;top:0;background:#fff;padding:.5em 0;border-bottom:1px solid #ccc;z-index:1}"
    "button{font:inherit;padding:.3em 1.2em}.done{color:#2a7a2a}"
)
# Entries are kept in the browser until they are saved, so that a closed window loses nothing.
SCRIPT = """
const columns = COLUMNS, code = CODE;
const inputs = [...document.querySelectorAll("[data-field]")];
const observer = document.getElementById("observer");
const key = "parfocal-" + code;
function value(e) { return e.type === "checkbox" ? (e.checked ? "yes" : "") : e.value; }
function remember() {
  const kept = { observer: observer.value };
  inputs.forEach(e => { kept[e.dataset.field + " " + e.dataset.column] = value(e); });
  try { localStorage.setItem(key, JSON.stringify(kept)); } catch (_) { /* a browser without storage */ }
  const entered = inputs.filter(e => value(e) !== "" && e.dataset.column !== "remarks");
  const filled = new Set(entered.map(e => e.dataset.field));
  const state = document.getElementById("state");
  state.textContent = filled.size + " of " + FIELDS + " fields have entries";
  state.className = filled.size === FIELDS ? "done" : "";
  return filled.size;
}
function recall() {
  let kept = {};
  try { kept = JSON.parse(localStorage.getItem(key) || "{}"); } catch (_) { return; }
  observer.value = kept.observer || "";
  inputs.forEach(e => {
    const was = kept[e.dataset.field + " " + e.dataset.column] || "";
    if (e.type === "checkbox") e.checked = was === "yes"; else e.value = was;
  });
}
function quoted(text) { return /[",\\n\\r]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text; }
function save() {
  if (!observer.value.trim()) { alert("Please enter your name or code first."); observer.focus(); return; }
  const empty = FIELDS - remember();
  if (empty && !confirm(empty + " of " + FIELDS + " fields have no entry. Enter 0 cells in a field without any. Save?"))
    return;
  const rows = [columns.join(",")];
  for (let field = 1; field <= FIELDS; field++) {
    const cells = { review: code, observer: observer.value.trim(), field: String(field) };
    inputs.filter(e => e.dataset.field === String(field)).forEach(e => {
      cells[e.dataset.column] = e.type === "checkbox" ? (e.checked ? "yes" : "no") : e.value;
    });
    rows.push(columns.map(c => quoted(cells[c] || "")).join(","));
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([rows.join("\\n") + "\\n"], { type: "text/csv" }));
  link.download = code + ".csv";
  link.click();
}
recall(); remember();
document.addEventListener("input", remember);
document.getElementById("save").addEventListener("click", save);
document.querySelectorAll("section img").forEach(i => i.addEventListener("click", () => i.classList.toggle("full")));
"""

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{style}</style></head>
<body><header><b>{title}</b> &middot; <label style="display:inline">reviewer
<input id="observer" autocomplete="off"></label> <button id="save" type="button">Save sheet</button>
<span id="state"></span></header>
<p>Enter the number of cells and of bacteria that you see in each field, or a grade, and tick what you find. A click on
a picture shows it in full size. Entries stay in this browser until you save the sheet as CSV. 1000 px of a picture are
{width_um} um.</p>
{grades}
{fields}
<script>{script}</script></body></html>
"""


def review_html(code: str, pictures: Sequence[bytes], findings: Sequence[str], um_per_px: float) -> str:
    """The page. `pictures` are JPEG files, in the order of the fields."""
    columns = [*FIRST, *map(column_of, findings), LAST]
    script = SCRIPT.replace("COLUMNS", _in_script(columns)).replace("CODE", _in_script(code))
    script = script.replace("FIELDS", str(len(pictures)))
    fields = [
        _section(number, picture, findings, len(pictures)) for number, picture in enumerate(pictures, start=1)
    ]
    return PAGE.format(
        title=html.escape(f"Review {code}"),
        style=STYLE,
        width_um=f"{1000 * um_per_px:.0f}",
        grades=_table_of_grades(),
        fields="\n".join(fields),
        script=script,
    )


def _table_of_grades() -> str:
    rows = []
    bounds = {what: ("<1", f"1-{a:g}", f"{a + 1:g}-{b:g}", f">{b:g}") for what, (a, b) in UP_TO.items()}
    for k, grade in enumerate(GRADES[1:]):
        cells = "".join(f"<td>{html.escape(bounds[what][k])}</td>" for what in ("cells", "bacteria"))
        rows.append(f"<tr><td>{grade}</td><td>{WORDS[grade]}</td>{cells}</tr>")
    head = "<tr><th>grade</th><th></th><th>cells in a field</th><th>bacteria in a field</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _section(number: int, picture: bytes, findings: Sequence[str], n_fields: int) -> str:
    data = base64.b64encode(picture).decode("ascii")
    at = f"data-field='{number}'"
    entries = [
        f"<label>{what}<br><input list='grades' size='8' {at} data-column='{what}'></label>"
        for what in ("cells", "bacteria")
    ]
    entries += [
        f"<label><input type='checkbox' {at} data-column='{column_of(finding)}'> {html.escape(finding)}</label>"
        for finding in findings
    ]
    entries.append(f"<label>remarks<br><textarea rows='3' {at} data-column='{LAST}'></textarea></label>")
    grades = "".join(f"<option value='{grade}'>" for grade in GRADES[1:]) if number == 1 else ""
    datalist = f"<datalist id='grades'>{grades}</datalist>" if grades else ""
    return (
        f"<section><img alt='field {number}' src='data:image/jpeg;base64,{data}'>{datalist}"
        f"<fieldset><b>Field {number} of {n_fields}</b>{''.join(entries)}</fieldset></section>"
    )


def _in_script(value: object) -> str:
    """A value as JavaScript, safe inside of a script element."""
    return json.dumps(value).replace("<", "\\u003c")
