//! Adapters against servers that speak the protocols of other projects byte for byte, and the
//! conversions against values worked by hand and by SciPy, Pillow and NumPy.

mod convert;
mod fake;
mod groot;
mod manifest;
mod openpi;
mod rest;
mod rotation;
mod serve;
mod vla_eval;
