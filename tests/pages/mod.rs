//! The pages agree with the code.

mod docs;
mod faults_table;
mod own_data;
mod quickstart;
