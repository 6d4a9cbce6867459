"""What both frameworks share; imports neither.

Rooms, the lower ones first (tests/test_imports.py holds the order): data and network (records, layers as data), prepare and
voices (from recordings to records), training, proof (are the numbers right?), speed, identify and verify (who speaks?),
compare, show (pictures, pages), doctor, page, commands. Without a room, below them all: errors and parser (options), contenders
(who is measured), machine, memory and device (where it runs), files, outputs and remembered (what is kept), measured, typed,
tables and progress (how it is told); and below training: twin (what a framework offers).

Where something new goes:
    a layer     network/layers.py (what it is, its shapes), network/reference_layers.py, BUILDERS in both twins' layers.py and
                baseline.py; what its inputs' ReLUs, foldings or operators mean: proof/parity.py, network/folding.py,
                speed/profile.py
    a network   network/architectures.py, and what a recipe sets for it in training/recipes.py
    a framework a folder with the files of tf_impl, a row in contenders.py
    a baseline  a row in contenders.py, and the module that it names, which serves an `Engine` of speed/engine.py; its package
                in .requirements.in
    a figure    speed/rounds.py or compare/results.py; for report.csv compare/numbers.py, for tables compare/figures.py, and
                which of them compare/report.py
    a command   commands/, and a row in compare.py or a stub in both twins; its line in results/README.md

Words of the house:
    twin        what a framework offers: `common.twin`; tf_impl and caffe2_impl are two
    contender   who is timed: a twin, a twin with its framework's own convolutions, a baseline such as Keras (another
                baseline, cepstral, knows speakers without a network, to say what accuracy is worth)
    plan        which convolutions are computed by Winograd, and with how many points; a place is one such layer
    gate        before anything is computed: its network passes the self-check, or nothing happens
    ladder      kinds of tensors from cause to effect, its rungs: start, outputs, loss, gradients, update, ...; a trial
                (parameters, momenta, batches) climbs it, before the arbiter, which is the reference in float64
    engine      what computes a network: a framework, a baseline (`speed.bench`), ONNX Runtime (`identify.engines`)
    bench       one network in one engine, in a process of its own, that is told what to time
    clock       where a timed step's input comes from: resident, fed, or end to end
    lane        one figure of one contender: a kind of step by a clock
    block       timed steps without a pause; in a round each lane has one, in turns; a tick ends a step
    certificate what makes two training runs comparable, as each framework states it of each stretch without a stop
"""
