fn main() -> std::process::ExitCode {
    rt::main()
}
