"""After the proofs, a table of them."""

from formal.prove import DONE


def pytest_terminal_summary(terminalreporter):
    if DONE:
        terminalreporter.section("proofs")
        terminalreporter.write_line(f"{'proof':<24}{'depth':>6}{'induction':>11}{'seconds':>9}")
    for proof in DONE:
        step = "-" if proof.induction is None else str(proof.induction)
        terminalreporter.write_line(
            f"{proof.name:<24}{proof.depth:>6}{step:>11}{proof.seconds:>9.0f}"
        )
