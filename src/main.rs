//! The `chasqui` binary: see `chasqui::cli`.

fn main() -> std::process::ExitCode {
    chasqui::cli::main()
}
