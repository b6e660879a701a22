//! A policy that thinks with a world model: CEM, MPPI, gradients and receding-horizon control.
