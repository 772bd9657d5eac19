//! A simulated MongoDB deployment.
