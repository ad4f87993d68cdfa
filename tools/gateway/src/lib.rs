//! A gateway.
mod auth;
mod config;
mod crew;
mod desk;
mod hub;
mod ids;
pub mod protocol;
mod store;
mod upgrade;
