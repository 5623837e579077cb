"""The looks of papers for `typeset.py`: as LaTeX classes set them, and in HTML after publishers' pages, from memory."""

# ruff: noqa: E501 (a style sheet is one string)

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LATEX", "PAGES", "WEB", "Latex", "Web"]


@dataclass(frozen=True)
class Latex:
    """`frame` holds BODY, `figure` PICTURES, CAPTION and NUMBER; `label` is what the class prints before a caption."""

    frame: str
    label: str
    figure: str = r"\begin{figure}[tb]\centering PICTURES\caption{CAPTION}\label{fNUMBER}\end{figure}"
    kinds: str = "cvpl"
    cite: str = "Fig."
    wide: str = r"\linewidth"
    part: str = r"0.48\linewidth"
    panel: str = "PICTURE"
    joined: str = r"\hfill "
    between: int = 2
    end: str = ""
    legends: bool = False
    turned: bool = False


@dataclass(frozen=True)
class Web:
    """`label` is a caption in HTML of n, text, and its first sentence (title) and rest; `css` the page.

    `frame` is a figure in HTML where it is not a picture and a caption: of shown, caption, n, title, rest, and A to D.
    """

    css: str
    label: str
    kinds: str = "cvpl"
    cite: str = "Fig."
    before: str = ""
    above: bool = False
    beside: bool = False
    letters: bool = False
    parts_own_line: bool = False
    between: int = 2
    end: str = ""
    leaf_label: str = ""
    frame: str = ""
    supplementary: bool = False
    cropped: bool = False
    unnumbered: bool = False
    scan: bool = False
    turned: bool = False


def _article(options: str, packages: str = "", body: str = "BODY") -> str:
    return (
        rf"\documentclass[{options}]{{article}}GRAPHICS{packages}"
        rf"\title{{Findings of chest CT}}\author{{A. Author}}\begin{{document}}\maketitle {body}\end{{document}}"
    )


def _class(name: str, options: str, front: str, packages: str = "", begin: str = r"\maketitle") -> str:
    return rf"\documentclass[{options}]{{{name}}}GRAPHICS{packages}\begin{{document}}{front}{begin} BODY\end{{document}}"


_STAR = r"\begin{figure*}[t]\centering PICTURES\caption{CAPTION}\label{fNUMBER}\end{figure*}"
_PLAIN_FRONT = r"\title{Findings of chest CT}\author{A. Author}"
_ELSEVIER = r"\begin{frontmatter}\title{Findings of chest CT}\author{A. Author}\end{frontmatter}"
_MEDRXIV = (
    r"\usepackage{lineno,setspace,fancyhdr,geometry}\geometry{margin=1in}\linenumbers\doublespacing\pagestyle{fancy}"
    r"\chead{\tiny medRxiv preprint doi: https://doi.org/10.1101/2020.03.11.20030000; this version posted March 12, "
    r"2020. The copyright holder for this preprint is the author/funder, who has granted a license to display it.}"
)
_APART = (
    r"\begin{figure}[p]\centering PICTURES\par\bigskip Figure NUMBER\label{fNUMBER}\end{figure}\clearpage"
)

LATEX: dict[str, Latex] = {
    "elsarticle-1p": Latex(_class("elsarticle", "1p", _ELSEVIER, begin=""), "Figure {n}:"),
    "elsarticle-3p": Latex(
        _class("elsarticle", "3p,times", _ELSEVIER, begin=""), "Figure {n}:", kinds="clpv"
    ),
    "elsarticle-5p": Latex(_class("elsarticle", "5p,times,twocolumn", _ELSEVIER, begin=""), "Figure {n}:"),
    "elsarticle-5p-wide": Latex(
        _class("elsarticle", "5p,times,twocolumn", _ELSEVIER, begin=""),
        "Figure {n}:",
        _STAR,
        "pcvl",
        between=4,
    ),
    "ieee": Latex(_class("IEEEtran", "journal", _PLAIN_FRONT), "Fig. {n}.", kinds="cvlc", between=3),
    "ieee-subfig": Latex(
        _class("IEEEtran", "conference", _PLAIN_FRONT, r"\usepackage[caption=false]{subfig}"),
        "Fig. {n}.",
        _STAR,
        "pcpl",
        panel=r"\subfloat[]{PICTURE}",
        part=r"0.23\linewidth",
        wide=r"0.6\linewidth",
        between=4,
    ),
    "revtex": Latex(
        _class(
            "revtex4-2",
            "aps,prl,reprint",
            r"\title{Findings of chest CT}\author{A. Author}\affiliation{Here}",
        ),
        "FIG. {n}.",
        kinds="cvlp",
        cite="FIG.",
        between=3,
    ),
    "revtex-preprint": Latex(
        _class("revtex4-2", "preprint", r"\title{Findings of chest CT}\author{A. Author}\affiliation{Here}"),
        "FIG. {n}.",
        cite="FIG.",
    ),
    "llncs": Latex(
        _class("llncs", "", r"\title{Findings of chest CT}\author{A. Author}\institute{Here}"),
        "Fig. {n}.",
        wide=r"0.8\linewidth",
    ),
    "acm": Latex(
        _class(
            "acmart",
            "sigconf",
            r"\title{Findings of chest CT}\author{A. Author}\affiliation{\institution{H}\country{I}}",
        ),
        "Figure {n}:",
        between=3,
    ),
    "aastex": Latex(
        _class(
            "aastex631",
            "twocolumn",
            r"\title{Findings of chest CT}\author{A. Author}\affiliation{Here}",
            begin="",
        ),
        "Figure {n}.",
        kinds="cvlp",
        between=4,
    ),
    "mnras": Latex(_class("mnras", "", _PLAIN_FRONT), "Figure {n}.", kinds="cvlp", between=4),
    "oup": Latex(
        _class("oup-authoring-template", "unnumsec,webpdf,contemporary,large", _PLAIN_FRONT),
        "Fig. {n}.",
        kinds="cvlp",
        between=4,
    ),
    "cas": Latex(
        _class(
            "cas-dc", "", r"\title{Findings of chest CT}\author{A. Author}\affiliation{organization={Here}}"
        ),
        "Figure {n}:",
        between=4,
    ),
    "manuscript": Latex(_article("11pt", _MEDRXIV), "Figure {n}:", cite="Figure", between=1),
    "manuscript-end": Latex(
        _article("11pt", _MEDRXIV), "Figure {n}:", cite="Figure", between=1, end=r"\clearpage", kinds="cvcl"
    ),
    "manuscript-apart": Latex(
        _article(
            "11pt",
            _MEDRXIV,
            "BODY",
        ),
        "Figure {n}.",
        _APART,
        "cvc",
        "Figure",
        between=1,
        end=" ",
        legends=True,
    ),
    "endfloat": Latex(
        _article("12pt", r"\usepackage[nomarkers]{endfloat}"),
        "Figure {n}:",
        "\\begin{figure}\n\\centering PICTURES\\caption{CAPTION}\\label{fNUMBER}\n\\end{figure}\n",
        cite="Figure",
    ),
    "wrapfig": Latex(
        _article("10pt", r"\usepackage{wrapfig}\usepackage[font=small,labelfont=bf]{caption}"),
        "Figure {n}:",
        r"\begin{wrapfigure}{r}{0.45\textwidth}PICTURES\caption{CAPTION}\label{fNUMBER}\end{wrapfigure}",
        "cvcc",
        between=3,
    ),
    "sidecap": Latex(
        _article(
            "10pt,a4paper",
            r"\usepackage[rightcaption]{sidecap}\usepackage[font=small,labelfont=bf,labelsep=period]{caption}",
        ),
        "Figure {n}.",
        r"\begin{SCfigure}[0.6][tb]\centering PICTURES\caption{CAPTION}\label{fNUMBER}\end{SCfigure}",
        "cvcl",
        wide=r"0.55\textwidth",
    ),
    "above": Latex(
        _article("10pt,twocolumn", r"\usepackage[position=top,labelfont=bf]{caption}"),
        "Figure {n}:",
        r"\begin{figure}[tb]\caption{CAPTION}\label{fNUMBER}\centering PICTURES\end{figure}",
        between=4,
    ),
    "subcaption": Latex(
        _article("10pt,a4paper", r"\usepackage{subcaption}"),
        "Figure {n}:",
        kinds="pcpl",
        panel=r"\begin{subfigure}{0.47\textwidth}PICTURE\caption{}\end{subfigure}",
        part=r"\linewidth",
        wide=r"0.9\linewidth",
    ),
    "sideways": Latex(
        _article("10pt", r"\usepackage{rotating}"),
        "Figure {n}:",
        r"\begin{sidewaysfigure}\centering PICTURES\caption{CAPTION}\label{fNUMBER}\end{sidewaysfigure}",
        "ccc",
        wide=r"0.7\linewidth",
        turned=True,
    ),
    "side-by-side": Latex(
        _article("10pt,a4paper", r"\usepackage[font=small]{caption}"),
        "Figure {n}:",
        r"\begin{figure}[tb]\begin{minipage}[t]{0.47\textwidth}PICTURES\caption{CAPTION}\label{fNUMBER}\end{minipage}"
        r"\hfill\begin{minipage}[t]{0.47\textwidth}\vspace{0pt}\parindent=1em A note on the method stands here, beside "
        r"the figure, as some authors like to have it.\end{minipage}\end{figure}",
        "cvc",
    ),
}

PAGES = """
@page { size: A4; margin: 18mm 16mm }
body { margin: 0; font: 9.5pt/1.25 'Liberation Serif'; text-align: justify }
h1 { font-size: 17pt; text-align: left } p { margin: 0; text-indent: 1em; orphans: 2; widows: 2 }
figure { margin: 8pt 0; break-inside: avoid } .cap { text-indent: 0; font-size: 8pt; break-inside: auto }
img, svg { width: 100%; height: auto; display: block } .chart { display: block }
.n4 { display: grid; grid-template-columns: 1fr 1fr; gap: 6pt } .n2 { display: grid; grid-template-columns: 1fr 1fr; gap: 6pt }
.letter { display: block; text-align: center; font: bold 9pt 'Liberation Sans' } .leaf { break-before: page }
"""
_TWO = "main { column-count: 2; column-gap: 6mm } h1, .by { column-span: all } "
_SANS = "body, .cap { font-family: 'Liberation Sans' } "
_SPAN = "figure { column-span: all } "
_BESIDE = "figure { display: flex; gap: 5mm; align-items: flex-end } .shown { flex: 2 } .text { flex: 1 } "
_BESIDE_LEFT = "figure { display: flex; gap: 5mm; flex-direction: row; align-items: flex-start } figure > .cap { flex: 1; text-align: left } .text { flex: 2 } "
_BANNER = (
    "<div class=banner>medRxiv preprint doi: https://doi.org/10.1101/2020.03.11.20030000; this version posted March 12, "
    "2020. The copyright holder for this preprint (which was not certified by peer review) is the author/funder, who "
    "has granted medRxiv a license to display the preprint in perpetuity. It is made available under a CC-BY 4.0 "
    "International license.</div>"
)
_RUNNING = "@page { @top-left { content: '%s'; font: 7pt 'Liberation Sans' } @bottom-right { content: counter(page); font: 8pt 'Liberation Sans' } } "

WEB: dict[str, Web] = {
    "elsevier": Web(
        _TWO + _RUNNING % "A. Author et al. / Journal of Imaging 12 (2020) 100-110", "Fig. {n}. {text}"
    ),
    "springer": Web(_TWO + _RUNNING % "Author et al. Insights Imaging (2020) 11:1", "<b>Fig. {n}</b> {text}"),
    "springer-wide": Web(_TWO + _SPAN, "<b>Fig. {n}</b>&ensp;{text}", between=3),
    "bmc": Web(
        _TWO + _SPAN + _SANS + "figure { border: 0.7pt solid #789; padding: 4pt }",
        "<b>Fig. {n}</b> {title}. {rest}",
        between=3,
    ),
    "mdpi": Web(
        _RUNNING % "Diagnostics 2020, 10, 100"
        + "main { margin-left: 42mm } figure { margin-left: 0 } body { font-size: 10pt }",
        "<b>Figure {n}.</b> {text}",
        cite="Figure",
    ),
    "mdpi-wide": Web(
        "main { margin-left: 42mm } figure { margin-left: -42mm }", "<b>Figure {n}.</b> {text}", cite="Figure"
    ),
    "frontiers": Web(
        _TWO + _SPAN + _SANS + "figure { border: 0.6pt solid #999; padding: 5pt }",
        "<b>FIGURE {n} |</b> {text}",
        cite="Figure",
        between=3,
    ),
    "plos": Web(
        _SANS + "main { margin-left: 50mm }",
        "<b>Fig {n}. {title}.</b> {rest}</p><p class=cap>https://doi.org/10.1371/journal.pone.0230000.g00{n}",
        cite="Fig",
    ),
    "wiley": Web(_TWO + _SANS, "<b style='color:#06a'>FIGURE {n}</b>&emsp;{text}", cite="Figure"),
    "hindawi": Web(
        _TWO + _SPAN,
        "<span style='font-variant:small-caps'>Figure {n}</span>: {text}",
        cite="Figure",
        between=3,
    ),
    "jmir": Web("body { font-size: 10pt }", "<b>Figure {n}.</b> {text}", cite="Figure", above=True),
    "jmir-sans": Web(_SANS, "<b>Figure {n}.</b> {text}", "cclv", cite="Figure", above=True),
    "lancet": Web(
        _TWO + _SANS + ".cap { font-size: 7.5pt }",
        "<b><i>Figure {n}</i>: {title}</b><br>{rest}",
        cite="figure",
    ),
    "lancet-single": Web(
        _TWO + ".cap { font: 7.5pt 'Liberation Sans' }", "<b><i>Figure</i>: {text}</b>", "p", unnumbered=True
    ),
    "beside": Web(_TWO + _SPAN + _BESIDE, "<b>Fig. {n}</b> {text}", beside=True, between=3, kinds="cvcp"),
    "beside-left": Web(
        _BESIDE_LEFT + _SANS, "<b>Fig. {n}</b> {text}", beside=True, above=True, between=2, kinds="cvcp"
    ),
    "ajr": Web(
        _TWO + _SPAN + _SANS,
        "<b>Fig. {n}</b>—{text}",
        "pqcp",
        letters=True,
        parts_own_line=True,
        between=3,
    ),
    "ajr-column": Web(_TWO, "<b>Fig. {n}—</b>{text}", "qcvp", letters=True, parts_own_line=True),
    "nejm": Web(
        _TWO + "figure { background: #fbf3e2; padding: 6pt } .cap { font-family: 'Liberation Sans' }",
        "<b style='color:#a20'>Figure {n}. {title}.</b><br>{rest}",
        cite="Figure",
    ),
    "rsna": Web(
        _TWO + ".cap b { color: #06c } .cap { font: 7.5pt 'Liberation Sans' }",
        "<b>Figure {n}:</b> {text}",
        cite="Figure",
    ),
    "label-box": Web(
        _TWO + ".cap b { background: #036; color: white; padding: 1pt 4pt }",
        "<b>Figure {n}</b> {text}",
        cite="Figure",
    ),
    "medrxiv": Web(
        ".banner { position: fixed; top: 0; font: 6pt 'Liberation Sans' } body { font: 11pt/2 'Liberation Serif' }"
        "main { padding-top: 9mm } .leaf { padding-top: 14mm } .cap { font-size: 11pt }",
        "<b>Figure {n}.</b> {text}",
        "cvc",
        "Figure",
        _BANNER,
        end="captions apart",
        leaf_label="<p>Figure {n}</p>",
        between=1,
    ),
    "medrxiv-end": Web(
        ".banner { position: fixed; top: 0; font: 6pt 'Liberation Sans' } body { font: 12pt/1.5 'Liberation Serif' }"
        ".leaf { padding-top: 14mm } main { padding-top: 9mm } .cap { font-size: 12pt }",
        "Figure {n}. {text}",
        "cvlc",
        "Figure",
        _BANNER,
        end="yes",
        between=1,
    ),
    "legends-only": Web(
        "body { font: 12pt/1.8 'Liberation Serif' } .cap { font-size: 12pt } .leaf { break-before: page }",
        "<b>Fig. {n}</b> {text}",
        "cvcp",
        end="captions apart",
        between=1,
    ),
    "korean": Web(_TWO, "<b>Fig.{n}</b> {text}", cite="Fig."),
    "chinese": Web(_TWO + ".cap { text-align: center }", "Figure {n} {text}", cite="Figure"),
    "bold-all": Web(_TWO + ".cap { font: bold 8pt 'Liberation Sans' }", "Figure {n}. {text}", cite="Figure"),
    "same-type": Web(_TWO + ".cap { font-size: 9.5pt }", "Fig. {n}. {text}"),
    "italic": Web(
        ".cap { font-style: italic; font-size: 9.5pt; text-align: center }",
        "Figure {n}: {text}",
        cite="Figure",
    ),
    "tinted": Web(
        _TWO + _SPAN + ".cap { background: #e8eef5; padding: 4pt } figure { border: 1pt solid #89a }",
        "<b>Figure {n}</b> {title}.<br>{rest}",
        cite="Figure",
        between=3,
    ),
    "black-ground": Web(
        _TWO + ".shown { background: black; padding: 6pt } .letter { color: white }",
        "<b>Figure {n}.</b> {text}",
        "pcqp",
        cite="Figure",
        letters=True,
    ),
    "narrow": Web(_TWO + _SPAN + ".shown { width: 60%; margin: auto }", "<b>Fig. {n}.</b> {text}", between=3),
    "three-columns": Web(
        "main { column-count: 3; column-gap: 5mm } h1, .by { column-span: all } body { font-size: 8.5pt } .cap { font-size: 7pt }",
        "<b>Figure {n}.</b> {text}",
        "cvqcl",
        cite="Figure",
    ),
    "scan": Web(_TWO, "<b>Figure {n}.</b> {text}", "cvcp", cite="Figure", scan=True),
    "caption-columns": Web(
        _TWO + _SPAN + ".cap { column-count: 2; column-gap: 6mm }",
        "<b>Fig. {n}</b> {text}",
        between=3,
        kinds="lvlp",
    ),
    "see-next-page": Web(
        _TWO + _SPAN + ".over { break-after: page } .shown { max-height: 190mm; overflow: hidden }",
        "<b>Fig. {n}</b> {text}",
        "cpc",
        frame="<div class=over>{shown}<p class=cap><b>Fig. {n}</b> (See legend on next page.)</p></div>"
        "<p class=cap>(See figure on previous page.)<br>{caption}</p>",
        between=3,
    ),
    "title-above": Web(
        _TWO + _SPAN + ".head { background: #dde6ee; padding: 3pt; font: bold 8pt 'Liberation Sans' }",
        "<b>Figure {n}.</b> {text}",
        "cvcp",
        cite="Figure",
        frame="<p class='cap head'>Figure {n}. {title}</p>{shown}<p class=cap>{rest}</p>",
        between=3,
    ),
    "subcaptions": Web(
        "main { margin-left: 30mm } .sub { text-align: center; font-size: 8.5pt; text-indent: 0 }",
        "<b>Figure {n}.</b> {text}",
        "ppp",
        cite="Figure",
        frame="<div class=n4><div>{A}<p class=sub>(<b>a</b>)</p></div><div>{B}<p class=sub>(<b>b</b>)</p></div>"
        "<div>{C}<p class=sub>(<b>c</b>)</p></div><div>{D}<p class=sub>(<b>d</b>)</p></div></div>{caption}",
    ),
    "overlaid": Web(
        _TWO
        + _SPAN
        + ".n4 { gap: 2pt; break-inside: avoid } .over { position: relative } .over b { position: absolute; left: 4pt; top: 3pt; color: white;"
        "font: bold 11pt 'Liberation Sans' } .over svg { position: absolute; left: 40%; top: 40%; width: 12% } .over img { height: 60mm }",
        "<b>Figure {n}.</b> {text}",
        "ppp",
        cite="Figure",
        frame="<div class=n4>"
        + "".join(
            f"<div class=over>{{{k}}}<b>{k}</b><svg viewBox='0 0 10 10'><path d='M0 0L9 9M9 4V9H4' fill='none' "
            "stroke='yellow' stroke-width='1.5'/></svg></div>"
            for k in "ABCD"
        )
        + "</div>{caption}",
        between=1,
    ),
    "cropped": Web(
        _TWO + ".n4 { gap: 3pt } .over { height: 42mm } .over img { height: 100%; object-fit: cover }",
        "<b>Fig. {n}</b> {text}",
        "ppp",
        frame="<a class=chart href='http://truth/{n}'><div class=n4>"
        + "".join(f"<div class=over>{{{k}}}</div>" for k in "ABCD")
        + "</div></a>{caption}",
        cropped=True,
    ),
    "cropped-one": Web(
        _TWO + ".over { height: 50mm } .over img { height: 100%; object-fit: cover }",
        "<b>Fig. {n}</b> {text}",
        "cccc",
        frame="<a class=chart href='http://truth/{n}'><div class=over>{A}</div></a>{caption}",
        cropped=True,
    ),
    "table-of-images": Web(
        _TWO
        + _SPAN
        + "table { border-collapse: collapse; width: 100% } td { border: 0.5pt solid black; padding: 3pt; "
        "text-align: center; font: 8pt 'Liberation Sans' }",
        "<b>Fig. {n}.</b> {text}",
        "pp",
        frame="<a class=chart href='http://truth/{n}'><table><tr><td>Patient<td>Day 3<td>Day 9</tr><tr><td>1<td>{A}<td>{B}"
        "</tr><tr><td>2<td>{C}<td>{D}</tr></table></a>{caption}",
        between=3,
    ),
    "watermark": Web(
        ".banner { position: fixed; top: 120mm; left: 10mm; font: 60pt 'Liberation Sans'; color: #ddd; transform: rotate(-45deg) } "
        "body { font: 11pt/1.6 'Liberation Serif' } .cap { font-size: 11pt }",
        "<b>Figure {n}.</b> {text}",
        "cvcl",
        "Figure",
        "<div class=banner>ACCEPTED MANUSCRIPT</div>",
        between=1,
    ),
    "preproof": Web(
        ".banner { position: fixed; top: 0; left: 60mm; font: 14pt 'Liberation Sans'; color: #888 } "
        "body { font: 12pt/1.9 'Liberation Serif' } main { padding-top: 9mm } .cap { font-size: 12pt } .leaf { padding-top: 20mm }",
        "<b>Figure {n}.</b> {text}",
        "cvcl",
        "Figure",
        "<div class=banner>Journal Pre-proof</div>",
        end="captions apart",
        between=1,
    ),
    "label-above": Web(
        ".leaf { padding-top: 5mm } body { font: 12pt/1.9 'Liberation Serif' } .cap { font-size: 12pt }",
        "Figure {n}: {text}",
        "cvcp",
        "Figure",
        end="captions apart",
        above=True,
        leaf_label="<p>Figure {n}</p>",
        between=1,
    ),
    "label-line": Web(_TWO + _SANS, "<b>Figure {n}</b><br>{text}", cite="Figure", kinds="cvpl"),
    "supplement": Web(
        "", "<b>Supplementary Figure S{n}.</b> {text}", "cvcp", cite="Figure S", between=0, supplementary=True
    ),
    "efigure": Web(
        "",
        "<b>eFigure {n}. {title}.</b><br>{rest}",
        "cvcp",
        cite="eFigure",
        between=0,
        supplementary=True,
        above=True,
    ),
    "cont": Web(
        "main { margin-left: 30mm } .over { break-after: page }",
        "<b>Figure {n}.</b> {text}",
        "pp",
        cite="Figure",
        frame="<div class=over>{A}{B}<p class=cap><b>Figure {n}.</b> <i>Cont.</i></p></div><div>{C}{D}</div>{caption}",
    ),
    "abstract-picture": Web(
        _TWO + ".banner { float: right; width: 50mm }",
        "<b>Fig. {n}</b> {text}",
        "cvcp",
        before="<p style='text-indent:0'><img style='width:30mm;float:left' src='../logo.png'></p>",
    ),
    "box-text": Web(
        _TWO
        + "figure { border-top: 2pt solid #246; border-bottom: 1pt solid #246; padding: 4pt 0 } .cap { font: 7.5pt/1.3 'Liberation Sans' }",
        "<b style='color:#246'>Figure {n}</b> | {text}",
        cite="Figure",
    ),
    "no-space": Web(
        _TWO + ".cap { margin: 0; font: 7pt/1.1 'Liberation Sans' } figure { margin: 2pt 0 }",
        "Fig. {n}: {text}",
    ),
}
