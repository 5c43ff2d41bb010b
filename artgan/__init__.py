"""Train a generative adversarial network on a folder of pictures.

`artgan.fit`, `artgan.generate`, `artgan.explore` and the rest are loaded when they are first asked for."""

__version__ = "0.1.0"

# Name to the module that has it. No module has one of these names, so none can come to stand in its place.
_home = dict(fit='train', Run='results', RECIPES='recipes', load_images='data', show_images='data', check_images='check', demo_art='demo',
             download='kaggle', generate='weights', score_run='results', plot_losses='results', make_video='video', show_video='video',
             explore='explorer', breed='explorer', walk='walks', project='walks', replay='replays', nearest='originality',
             export_onnx='onnx_export', share_run='share', write_samples='samples', write_grid='samples', cut_out='samples',
             watch='watching', load='latents', score_classes='class_scores', push_to_hub='hub', TensorBoard='trackers', MLflow='trackers')


def __getattr__(name):
    "The public name, from its module (PEP 562): importing artgan alone stays instant, and loads no torch"
    if name not in _home: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module
    found = globals()[name] = getattr(import_module(f'{__name__}.{_home[name]}'), name)
    return found


def __dir__(): return sorted({*globals(), *_home})
