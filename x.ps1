# Becomes x.py with the first Python that is there; x.py itself finds another when that one is too old.

$script = Join-Path $PSScriptRoot 'x.py'
foreach ($python in 'py', 'python3', 'python') {
    $found = Get-Command $python -CommandType Application -ErrorAction SilentlyContinue | Select-Object -First 1
    # Windows puts a python3.exe there that only opens its store.
    if ($found -and $found.Source -notlike '*\WindowsApps\*') {
        $options = if ($python -eq 'py') { @('-3') } else { @() }
        & $found.Source @options -I -S $script @args
        exit $LASTEXITCODE
    }
}
[Console]::Error.WriteLine('error: ./x needs Python 3.11 or newer: install it, or put it on PATH')
exit 4
