"""The identified `Model`: a `Network` of LSTM layers, scalings and signals.

It simulates and predicts; training asks CasADi or a `Kernel` in C for sensitivities;
`import_model` brings networks of others.
"""
