"""Every tolerance of the tests, named after its cause."""

ROUND_OFF = 1e-12  # the same sums in another order, a few hundred steps of a contracting recursion
CHARGE = 1e-12  # [mol/L] round-off of the charge balance, whose terms are up to 3e-2 mol/L
# [pH] one sample of the plant against a tight integration of its differential equations
PLANT_ODE = 1e-6
# [cm] one sample of the quadruple tank against a tight integration of its differential equations
TANK_ODE = 1e-6
PUBLISHED_LEVEL = 0.2  # [cm] the paper prints measured operating points beside a rounded model
PUBLISHED_ZERO = 1e-3  # [1/s] half a unit of the third printed decimal, and the sampling
PRINTED = 0.0051  # half a unit of the second printed decimal
PRINTED_3 = 0.00051  # the same for three decimals
DIFFERENCE = 1e-6  # central finite differences in double precision, relative to the largest entry
IPOPT_BOX = 1e-7  # IPOPT relaxes bounds by 1e-8 of their size
IPOPT_COST = 1e-6  # relative; two IPOPT solves of one problem, tolerance 1e-8 and better
IPOPT_INPUT = 1e-4  # [input unit] the same for the minimiser, where the cost is flat
# residuals of small quadratic programs with condition numbers up to 1e4, prices up to 1e3
KKT = 1e-8
OFFSET = 0.01  # [pH] what is left of a steady error after a finite run
# relative; a spectral norm is bounded by a witness 1e-7 above it, witnesses of eight digits
SPECTRAL = 2e-7
WITNESS = 1e-4  # of |1 − ρ|; how far (Av)/v of the witness v exceeds ρ(A)
# [normalised] a runtime in single precision: 6e-8 a step, kept alive by networks that forget slowly
SINGLE = 1e-6
