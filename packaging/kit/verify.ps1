# Checks that this kit is as it was made: every file has its SHA-256, none is missing, none was added.
#
# usage: powershell -ExecutionPolicy Bypass -File verify.ps1 [KEY]
#
# KEY   minisign's public key of whoever made the kit: the line. It must have come another way than the kit.
#       With it the signature is checked too (needed: minisign.exe on the PATH).
#
# Status 0: all is well. 1: it is not. 2: it could not be checked.
param([string]$Key = "")
$ErrorActionPreference = "Stop"
Set-Location -LiteralPath $PSScriptRoot

if (-not (Test-Path -LiteralPath "SHA256SUMS")) {
    Write-Output "There is no SHA256SUMS."
    exit 1
}
if ($Key) {
    if (-not (Get-Command minisign -ErrorAction SilentlyContinue)) {
        Write-Output "minisign is not here, so the signature was not checked."
        exit 2
    }
    & minisign -Vqm SHA256SUMS -P $Key
    if ($LASTEXITCODE -ne 0) {
        Write-Output "The signature is not by this key."
        exit 1
    }
}
$named = @{}
foreach ($line in Get-Content -LiteralPath "SHA256SUMS" -Encoding UTF8) {
    $named[$line.Substring(66)] = $line.Substring(0, 64)
}
$wrong = @()
$besides = "SHA256SUMS", "SHA256SUMS.minisig", "SHA256SUMS.asc"
foreach ($file in Get-ChildItem -Recurse -File -Force) {
    $name = $file.FullName.Substring($PSScriptRoot.TrimEnd("\").Length + 1).Replace("\", "/")
    if ($besides -contains $name) { continue }
    if (-not $named.ContainsKey($name)) { $wrong += "added: $name"; continue }
    $found = (Get-FileHash -LiteralPath $file.FullName -Algorithm SHA256).Hash.ToLowerInvariant()
    if ($found -ne $named[$name]) { $wrong += "changed: $name" }
    $named.Remove($name)
}
$wrong += $named.Keys | ForEach-Object { "missing: $_" }
if ($wrong) {
    $wrong | Sort-Object | Write-Output
    exit 1
}
Write-Output "All files are as they were when the kit was made."
if (-not $Key) { Write-Output "Who made it was not checked: verify.ps1 KEY does that." }
