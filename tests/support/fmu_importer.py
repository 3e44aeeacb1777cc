"""FMPy as the importer of FMUs in tests: one is opened once, and run in several instances."""

import fmpy
import numpy as np
from fmpy.simulation import instantiate_fmu

from lstm_mpc.control.controller import ControlAction, Status


class Importer:
    """An FMU opened by FMPy: `make` instances, which complain into `said`."""

    def __init__(self, packed, folder):
        self.path = folder / "unit.fmu"
        self.path.write_bytes(packed)
        self.description = fmpy.read_model_description(self.path)
        self.folder, self.said = fmpy.extract(self.path, folder / "unit"), []
        self.version = int(self.description.fmiVersion[0])
        self.references = {v.name: v.valueReference for v in self.description.modelVariables}
        self.Ts = float(self.description.defaultExperiment.stepSize)

    def make(self, **starts):
        options = (
            {"logger": lambda *words: self.said.append(words[-1].decode())}
            if self.version == 3
            else {}
        )
        made = Instance(instantiate_fmu(self.folder, self.description, **options), self)
        if starts:
            made.set(**starts)
        return made.begin()


class Instance:
    """One instance: `raw` is FMPy's, variables go by their names here."""

    def __init__(self, raw, importer):
        self.raw, self.t = raw, 0.0
        self._references, self._Ts, self._three = (
            importer.references,
            importer.Ts,
            importer.version == 3,
        )

    def begin(self, t=0.0):
        self.t = t
        if self._three:
            self.raw.enterInitializationMode(startTime=t)
        else:
            self.raw.setupExperiment(startTime=t)
            self.raw.enterInitializationMode()
        self.raw.exitInitializationMode()
        return self

    def set(self, **values):
        put = self.raw.setFloat64 if self._three else self.raw.setReal
        put([self._references[name] for name in values], list(values.values()))

    def get(self, *names):
        take = self.raw.getFloat64 if self._three else self.raw.getReal
        return take([self._references[name] for name in names])

    def status(self):
        take = self.raw.getUInt32 if self._three else self.raw.getInteger
        return take([self._references["status"]])[0]

    def step(self, **values):
        self.set(**values)
        self.raw.doStep(currentCommunicationPoint=self.t, communicationStepSize=self._Ts)
        self.t += self._Ts
        return self


def named(model, y, r, measured=()):
    """Measurements, setpoints and measured inputs by the names that a controller's FMU has for
    them."""
    names = [s.name for s in model.outputs]
    names += [*(f"{name}_setpoint" for name in names), *(s.name for s in model.measured)]
    return dict(zip(names, [*y, *r, *measured], strict=True))


class Imported:
    """A controller's FMU behind the `reset / step` protocol of all controllers."""

    def __init__(self, importer, model):
        self._importer, self._model, self._instance = importer, model, None

    def reset(self, y, u, measured=()):
        names = [f"{s.name}_start" for s in self._model.manipulated]
        self._instance = self._importer.make(**dict(zip(names, map(float, u), strict=True)))

    def step(self, y, reference, measured=()):
        values = named(self._model, y, np.atleast_2d(reference)[0], np.ravel(measured))
        instance = self._instance.step(**values)
        names = [s.name for s in self._model.manipulated]
        u, nothing = np.array(instance.get(*names)), np.zeros(0)
        return ControlAction(u, Status(instance.status()), 0, 0.0, nothing, nothing, 0.0)
