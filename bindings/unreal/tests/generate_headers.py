#!/usr/bin/env python3
"""A stand-in for Unreal's header tool: makes the .generated.h files of the plugin's headers, forwards Unreal's own
headers to the stand-in, and checks rules of that tool that the compiler cannot see.

    generate_headers.py PUBLIC OUTPUT
"""

import re
import sys
from pathlib import Path

PUBLIC, OUTPUT = Path(sys.argv[1]), Path(sys.argv[2])
UNREAL = [
    "Async/Async.h", "Containers/Ticker.h", "CoreMinimal.h", "Engine/TextureRenderTarget2D.h", "HAL/FileManager.h",
    "HAL/PlatformProcess.h", "Interfaces/IPluginManager.h", "Kismet/BlueprintAsyncActionBase.h",
    "Kismet/BlueprintFunctionLibrary.h", "Misc/Paths.h", "Modules/ModuleManager.h", "TextureResource.h",
    "UObject/Object.h", "UObject/WeakObjectPtr.h",
]  # fmt: skip
# Types that reflection knows, beside the plugin's own.
KNOWN = {
    "void",
    "bool",
    "float",
    "int32",
    "uint8",
    "FString",
    "FColor",
    "FVector4",
    "UObject",
    "UTextureRenderTarget2D",
}


def fail(path, number, message):
    sys.exit(f"{path.name}:{number}: {message}")


def generated(path, reflected):
    lines = path.read_text(encoding="utf-8").splitlines()
    includes = [(n, line) for n, line in enumerate(lines, 1) if line.startswith("#include")]
    own = f'#include "{path.stem}.generated.h"'
    uses = any("GENERATED_BODY" in line or line.startswith("UENUM") for line in lines)
    if not uses:
        return None
    if includes[-1][1] != own:
        fail(path, includes[-1][0], f"the last include must be {own}")
    identifier = f"FID_{path.stem}"
    out = ["#pragma once", "#undef CURRENT_FILE_ID", f"#define CURRENT_FILE_ID {identifier}"]
    declared = None
    properties, parameters = {}, []
    for number, line in enumerate(lines, 1):
        match = re.match(r"(class|struct) OMNIID_API (\w+)(?: : public (\w+))?$", line)
        if match:
            declared = match.groups()
            kind, name, base = declared
            macro = lines[number - 2]
            if not macro.startswith("UCLASS" if kind == "class" else "USTRUCT"):
                fail(path, number, f"{name} has no UCLASS or USTRUCT before it")
            if name[0] != ("U" if kind == "class" else "F"):
                fail(path, number, f"{name} must begin with {'U' if kind == 'class' else 'F'}")
        if "GENERATED_BODY()" in line:
            kind, name, base = declared
            body = f"public: using Super = {base}; using ThisClass = {name}; private:" if kind == "class" else ""
            out.append(f"#define {identifier}_{number}_GENERATED_BODY {body}")
        if line.strip().startswith(("UPROPERTY", "UFUNCTION")):
            place, declaration = declaration_after(lines, number)
            check_types(path, place, declaration, reflected)
            if line.strip().startswith("UPROPERTY"):
                properties.setdefault(declared[1], set()).add(re.search(r"(\w+)(?: = .*)?;", declaration).group(1))
            else:
                names = re.findall(r"(\w+)(?:,|\))", declaration)
                parameters += [(place, declared[1], name) for name in names]
    for number, name, parameter in parameters:
        if parameter in properties.get(name, ()):
            fail(path, number, f"the parameter {parameter} has the name of a property of {name}")
    return "\n".join(out) + "\n"


def declaration_after(lines, number):
    """The number of the line, and the text on one line, of the declaration after the macro that begins on a line."""
    macro = lines[number - 1]
    while macro.count("(") > macro.count(")"):
        macro += lines[number]
        number += 1
    declaration = lines[number]
    place = number + 1
    while not re.search(r"[;{]|\)( const)?$", declaration):
        number += 1
        declaration += " " + lines[number].strip()
    return place, declaration


def check_types(path, number, line, reflected):
    """Types of a reflected declaration: what the header tool would not know."""
    line = re.sub(r"\b(static|virtual|const|override|class|TArray|TObjectPtr)\b", " ", line.split("=")[0].split("{")[0])
    before, _, parameters = line.partition("(")
    declarations = [before.rsplit(None, 1)[0]] + [
        p.rsplit(None, 1)[0] for p in parameters.split(")")[0].split(",") if p.strip()
    ]
    for declaration in declarations:
        for name in re.findall(r"\w+", declaration):
            if name not in KNOWN | reflected:
                fail(path, number, f"{name} is no type that reflection knows")


def main():
    headers = sorted(PUBLIC.glob("*.h"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in headers)
    reflected = set(re.findall(r"^(?:class|struct) OMNIID_API (\w+)", text, re.M)) | set(
        re.findall(r"^enum class (\w+)", text, re.M)
    )
    reflected |= set(re.findall(r"^DECLARE_DYNAMIC_\w+\((\w+)", text, re.M))
    for name in UNREAL:
        target = OUTPUT / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text('#include "UnrealStandIn.h"\n')
    for name in ("NNERuntimeCPU.h", "NNETypes.h"):
        (OUTPUT / name).write_text('#include "NNEStandIn.h"\n')
    count = 0
    for path in headers:
        content = generated(path, reflected)
        if content is not None:
            (OUTPUT / f"{path.stem}.generated.h").write_text(content)
            count += 1
    assert count == 7, count


if __name__ == "__main__":
    main()
