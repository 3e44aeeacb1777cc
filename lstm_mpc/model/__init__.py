"""The identified `Model`: an LSTM with scalings, signals and input delays; `importers` bring
networks of others."""
