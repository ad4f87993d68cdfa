//! Bybit.
