//! tools/sim
