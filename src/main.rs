//! One binary: Lambda's function and the command line.

fn main() {}
