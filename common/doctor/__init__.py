"""The doctor: looks at record files for what would cost a night of training.

    python -m common.doctor data
"""
