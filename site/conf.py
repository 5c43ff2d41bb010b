"Sphinx's configuration; .ci/site builds with it, from the pages that pages.py writes."
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent/'.ci'))
import sync

cfg = sync.settings()
project, author, copyright, release = cfg['title'], cfg['author'], cfg['copyright'], cfg['version']
extensions = ['myst_nb']
html_theme, html_title, html_static_path, html_css_files = 'sphinx_book_theme', cfg['title'], ['static'], ['book.css']
html_extra_path = ['../build/site/extra']  # the notebooks as they are, to download
html_baseurl = f"https://{cfg['user']}.github.io/{cfg['repo']}/"
html_theme_options = {
    'repository_url': cfg['git_url'], 'use_repository_button': True, 'use_download_button': False, 'use_fullscreen_button': False,
    'show_navbar_depth': 1, 'show_toc_level': 2, 'home_page_in_toc': True}
html_context = {'default_mode': 'auto'}  # dark where the reader's device is; the button changes it
html_copy_source, html_show_sourcelink = False, False
nb_execution_mode, nb_merge_streams, nb_ipywidgets_js = 'off', True, {}
myst_enable_extensions = ['dollarmath', 'attrs_inline', 'attrs_block', 'colon_fence']
myst_heading_anchors = 3
add_module_names, smartquotes = False, False  # quotes stay as Python has them
toc_object_entries_show_parents = 'hide'
html_math_renderer = 'mathml'


def math(self, node):
    "A formula as MathML, which browsers draw themselves: no script, no font, no other server"
    from docutils import nodes
    from latex2mathml.converter import convert
    block = isinstance(node, nodes.math_block)
    formula = convert(node.astext(), display='block' if block else 'inline')
    self.body.append(f'<div class="math">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer('mathml', (math, None), (math, None))
