"""What may be claimed of a model: conditions and their proofs, tubes, scenarios, and the gate that
makes a `Release`."""
