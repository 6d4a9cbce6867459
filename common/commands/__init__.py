"""The command lines that both frameworks share: `python -m tf_impl.train`, `caffe2_impl.train`, ... and those of `compare.py`.

Each module has one function that is given the implementation's `load`, called only once the
options are known to be good, so that `--help` and a typing error answer at once. Some modules are no commands:
options, utterances, sound_files and stopping are parts of several, breakdown is a part of evaluate, resuming of train,
trials of verify.
"""
