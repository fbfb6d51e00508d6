"""How a task becomes chunks and their results one: pure rules, which import no I/O."""
