# Runs x.py in the first Python 3 that there is; x.py says so where that one is too old.
# A bare -- is PowerShell's own. In quotes it is passed on: ./x.ps1 test buildlock '--' queue::

$script = Join-Path $PSScriptRoot 'x.py'
$found = @(foreach ($name in 'py', 'python3', 'python') {
    Get-Command $name -All -CommandType Application -ErrorAction SilentlyContinue
})
# In WindowsApps may lie a Python, or what only offers to install one, and fails whatever it is asked to run.
$aliases = @($found | Where-Object { $_.Source -like '*\WindowsApps\*' })
$programs = @($found | Where-Object { $_.Source -notlike '*\WindowsApps\*' })
foreach ($python in $programs + $aliases) {
    $options = @(if ($python.Name -in 'py', 'py.exe') { '-3' })
    if ($python -in $aliases) {
        & $python.Source @options -c pass 2>$null
        if ($LASTEXITCODE -ne 0) { continue }
    }
    & $python.Source @options -I -S $script @args
    exit $LASTEXITCODE
}
[Console]::Error.WriteLine('error: ./x needs Python 3.11 or newer: install it, or put it on PATH')
exit 4
