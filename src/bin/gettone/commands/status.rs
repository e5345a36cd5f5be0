//! `status`.

use crate::clients::Context;
use crate::failure::Failure;
use crate::output::Report;

pub async fn run(_: &Context) -> Result<Report, Failure> {
    Err(Failure::other("not there yet"))
}
