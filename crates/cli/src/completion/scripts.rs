//! The scripts that shells load.

const BASH: &str = r#"# Completion of skopeo's command lines in bash.
_skopeo() {
    local line="${COMP_LINE:0:COMP_POINT}" output directive word keep candidate value
    local -a asked
    read -ra asked <<< "$line"
    case "$line" in
        *[[:space:]]) asked+=("") ;;
    esac
    COMPREPLY=()
    output=$("${COMP_WORDS[0]}" @REQUEST@ "${asked[@]:1}" 2>/dev/null) || return
    directive="${output##*:}"
    output="${output%:*}"
    word="${asked[${#asked[@]}-1]}"
    # Bash replaces only what stands after the last of its word breaks.
    keep=""
    case "$word" in
        *[:=]*) keep="${word%"${word##*[:=]}"}" ;;
    esac
    while IFS= read -r candidate; do
        value="${candidate%%$'\t'*}"
        if [[ -n "$value" && "$value" == "$word"* ]]; then
            COMPREPLY+=("${value#"$keep"}")
        fi
    done <<< "$output"
    if (( directive & 2 )); then
        compopt -o nospace 2>/dev/null
    fi
    if (( ${#COMPREPLY[@]} == 0 && !(directive & 4) )); then
        compopt -o filenames 2>/dev/null
        local names=-f
        (( directive & 16 )) && names=-d
        while IFS= read -r candidate; do
            COMPREPLY+=("$candidate")
        done < <(compgen "$names" -- "${word#"$keep"}")
    fi
}
complete -F _skopeo skopeo
"#;

const ZSH: &str = r#"#compdef skopeo
compdef _skopeo skopeo
# Completion of skopeo's command lines in zsh.
_skopeo() {
    local -a answer described options
    local directive line value
    answer=("${(@f)$("${words[1]}" @REQUEST@ "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    directive="${answer[-1]#:}"
    answer[-1]=()
    for line in "${answer[@]}"; do
        [[ -n "$line" ]] || continue
        value="${line%%$'\t'*}"
        value="${value//:/\\:}"
        if [[ "$line" == *$'\t'* ]]; then
            value="$value:${line#*$'\t'}"
        fi
        described+=("$value")
    done
    if (( directive & 2 )); then
        options=(-S '')
    fi
    if (( ${#described} )); then
        _describe -t skopeo skopeo described "${options[@]}"
    elif (( !(directive & 4) )); then
        compset -P '*[:=]'
        if (( directive & 16 )); then
            _files -/
        else
            _files
        fi
    fi
}
# Run when autoloaded by the completion system, not when sourced.
if [ "$funcstack[1]" = "_skopeo" ]; then
    _skopeo "$@"
fi
"#;

const FISH: &str = r#"# Completion of skopeo's command lines in fish.
function __skopeo_complete
    set -l asked (commandline -opc)
    set -l current (commandline -ct)
    set -l answer ($asked[1] @REQUEST@ $asked[2..-1] "$current" 2>/dev/null)
    or return
    set -l directive (string replace ':' '' -- $answer[-1])
    set -e answer[-1]
    if test (count $answer) -gt 0
        printf '%s\n' $answer
    else if test (math "floor($directive / 4) % 2") -eq 0
        # A name of a file, maybe after a transport or after --flag=.
        set -l keep (string match -r '^.*[:=]' -- "$current")
        set -l typed (string replace -r '^.*[:=]' '' -- "$current")
        for path in (complete -C "'' $typed")
            printf '%s%s\n' "$keep" (string split -f1 \t -- $path)
        end
    end
end
complete -c skopeo -e
complete -c skopeo -f -a '(__skopeo_complete)'
"#;

const POWERSHELL: &str = r#"# Completion of skopeo's command lines in PowerShell.
Register-ArgumentCompleter -Native -CommandName 'skopeo' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $asked = @($commandAst.CommandElements | Where-Object { $_.Extent.StartOffset -lt $cursorPosition } | ForEach-Object { $_.ToString() })
    $program = $asked[0]
    $asked = @($asked | Select-Object -Skip 1)
    if ($wordToComplete -eq '') { $asked += '""' }
    $answer = @(& $program '@REQUEST@' @asked 2>$null)
    if ($answer.Count -lt 2) { return }
    $directive = [int]($answer[-1].Substring(1))
    $space = if (($directive -band 2) -ne 0) { '' } else { ' ' }
    $answer[0..($answer.Count - 2)] | ForEach-Object {
        $value, $description = $_ -split "`t", 2
        if (-not $description) { $description = $value }
        [System.Management.Automation.CompletionResult]::new("$value$space", $value, 'ParameterValue', $description)
    }
}
"#;

/// The script for a shell.
pub(crate) fn script(shell: &str, descriptions: bool) -> String {
    let script = match shell {
        "bash" => BASH,
        "zsh" => ZSH,
        "fish" => FISH,
        _ => POWERSHELL,
    };
    // Bash has no room for descriptions.
    let request = if descriptions && shell != "bash" { "__complete" } else { "__completeNoDesc" };
    script.replace("@REQUEST@", request)
}

/// How to load it.
pub(crate) fn explain(shell: &str) -> String {
    let (now, always) = match shell {
        "bash" => (
            "source <(skopeo completion bash)",
            "skopeo completion bash > ~/.local/share/bash-completion/completions/skopeo",
        ),
        "zsh" => {
            ("source <(skopeo completion zsh)", "skopeo completion zsh > \"${fpath[1]}/_skopeo\"")
        }
        "fish" => (
            "skopeo completion fish | source",
            "skopeo completion fish > ~/.config/fish/completions/skopeo.fish",
        ),
        _ => (
            "skopeo completion powershell | Out-String | Invoke-Expression",
            "skopeo completion powershell >> $PROFILE",
        ),
    };
    format!(
        "Prints a script that completes skopeo's command lines in {shell}.\n\n\
         In this session:\n\n\t{now}\n\nIn every new one:\n\n\t{always}"
    )
}
