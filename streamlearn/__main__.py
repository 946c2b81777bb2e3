"""`python -m streamlearn`: the same as the command `streamlearn`."""

from streamlearn.cli import main

if __name__ == "__main__":
    main(prog_name="streamlearn")
