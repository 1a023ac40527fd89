"""Warnings of docker's build checks, and `# check=`, which skips some or makes them errors.

Source: https://docs.docker.com/reference/build-checks/, whose names of rules are kept.
"""

from __future__ import annotations

from mydocker.build.failure import BuildWarning, DockerfileError, Malformed
from mydocker.build.instructions import Cmd, Entrypoint, Env, Healthcheck, Label, Maintainer
from mydocker.build.words import split_first
from mydocker.gotemplate.formats import quote
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from mydocker.build.dockerfile import Stage
    from mydocker.build.instructions import Instruction, Workdir

_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
_RESERVED = ("context", "scratch")
# Parts of a name that say secret, and those that say that it is none.
_SECRET_WORDS = ("apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token")
_PUBLIC_WORDS = ("public",)


@record
class Check:
    """`# check=`. skip: the rules whose warnings are left out; "all" for all. error: a warning makes the build fail."""

    skip: list[str]
    error: bool

    def shown(self, warnings: Iterable[BuildWarning]) -> list[BuildWarning]:
        """Return the warnings that are not skipped, each once, by line."""
        unique = {(warning.line, str(warning)): warning for warning in warnings}
        kept = [warning for _, warning in sorted(unique.items())]
        return [warning for warning in kept if "all" not in self.skip and warning.rule not in self.skip]

    def refuse(self, warnings: Iterable[BuildWarning]) -> None:
        """Raise DockerfileError for a warning that is shown, if `error` is set."""
        rules = sorted({warning.rule for warning in self.shown(warnings)})
        if self.error and rules:
            raise DockerfileError(f"warnings are errors here: {', '.join(rules)}", "# check=error=true says so")


def read_check(text: str) -> Check:
    """Parse the value of `# check=`: `skip=RULE,RULE;error=true`. Raises Malformed."""
    check = Check([], False)
    for part in text.split(";") if text else []:
        key, sign, value = (piece.strip() for piece in part.partition("="))
        if not sign or key not in ("skip", "error", "experimental"):
            raise Malformed(f"invalid check option {quote(key)}", "skip=RULE or error=true")
        if key == "error" and value not in _TRUE + _FALSE:
            raise Malformed(f"failed to parse check option {quote(value)}", "true or false")
        if key == "error":
            check.error = value in _TRUE
        elif key == "skip":
            check.skip += [rule.strip() for rule in value.split(",")]
    return check


def texts(stages: list[Stage]) -> list[BuildWarning]:
    """Return the warnings that need no more than the instructions' texts."""
    warnings = _stage_names(stages)
    instructions = [each for stage in stages for each in (stage.start, *stage.instructions)]
    written = [split_first(each.text)[0] for each in instructions]
    upper = sum(word.isupper() for word in written) * 2 >= len(written)
    for word, each in zip(written, instructions):
        if not (word.isupper() if upper else word.islower()):
            casing = "uppercase" if upper else "lowercase"
            message = f"Command '{word}' should match the case of the command majority ({casing})"
            warnings.append(BuildWarning("ConsistentInstructionCasing", message, each.first))
        if isinstance(each, Maintainer):
            message = "Maintainer instruction is deprecated in favor of using label"
            warnings.append(BuildWarning("MaintainerDeprecated", message, each.first))
        if isinstance(each, (Env, Label)) and "=" not in split_first(split_first(each.text)[1])[0]:
            message = f'"{each.word} key=value" should be used instead of legacy "{each.word} key value" format'
            warnings.append(BuildWarning("LegacyKeyValueFormat", message, each.first))
    for stage in stages:
        warnings += _repeated(stage.instructions)
    return warnings


def _stage_names(stages: list[Stage]) -> list[BuildWarning]:
    warnings: list[BuildWarning] = []
    names: set[str] = set()
    for stage in stages:
        line, parts = stage.start.first, stage.start.text.split()
        if not stage.name:
            continue
        if stage.name in names:
            message = f'Duplicate stage name "{stage.name}", stage names should be unique'
            warnings.append(BuildWarning("DuplicateStageName", message, line))
        if stage.name in _RESERVED:
            message = f'Stage name should not use the same name as reserved stage "{stage.name}"'
            warnings.append(BuildWarning("ReservedStageName", message, line))
        if parts[-1] != stage.name:
            message = f"Stage name '{parts[-1]}' should be lowercase"
            warnings.append(BuildWarning("StageNameCasing", message, line))
        if parts[0].isupper() != parts[-2].isupper():
            message = f"'{parts[-2]}' and '{parts[0]}' keywords' casing do not match"
            warnings.append(BuildWarning("FromAsCasing", message, line))
        names.add(stage.name)
    return warnings


def _repeated(instructions: list[Instruction]) -> list[BuildWarning]:
    """Warn of each CMD, ENTRYPOINT or HEALTHCHECK that a later one replaces."""
    warnings: list[BuildWarning] = []
    last: dict[str, int] = {}
    for each in instructions:
        if isinstance(each, (Cmd, Entrypoint, Healthcheck)):
            if each.word in last:
                message = (
                    f"Multiple {each.word} instructions should not be used in the same stage because only the last "
                    "one will be used"
                )
                warnings.append(BuildWarning("MultipleInstructionsDisallowed", message, last[each.word]))
            last[each.word] = each.first
    return warnings


def secrets(word: str, key: str, line: int) -> list[BuildWarning]:
    """Warn of a variable whose name says that it is a secret: it stays in the image's config."""
    parts = key.lower().replace("-", "_").split("_")
    joined = "_".join(parts)
    suspicious = any(part in _SECRET_WORDS for part in parts) or "apikey" in joined or "api_key" in joined
    if not suspicious or any(part in _PUBLIC_WORDS for part in parts):
        return []
    message = f'Do not use ARG or ENV instructions for sensitive data ({word} "{key}")'
    return [BuildWarning("SecretsUsedInArgOrEnv", message, line)]


def json_recommended(one: Instruction) -> BuildWarning:
    """Warn of a shell form: the program does not get the signals."""
    reason = f"JSON arguments recommended for {one.word} to prevent unintended behavior related to OS signals"
    return BuildWarning("JSONArgsRecommended", reason, one.first)


def relative_workdir(one: Workdir) -> BuildWarning:
    """Warn of a path that depends on the base image."""
    reason = f'Relative workdir "{one.path}" can have unexpected results if the base image changes'
    return BuildWarning("WorkdirRelativePath", reason, one.first)
