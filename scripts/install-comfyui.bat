@echo off
rem Installs OmniID's nodes and its Python package into a ComfyUI, or brings them up to date:
rem
rem   scripts\install-comfyui.bat FOLDER [options]
rem
rem FOLDER is ComfyUI's folder, or that of the portable build, whose own Python is used then.
setlocal
set "FOLDER=%~1"
set "PYTHON="
for %%P in (python_embeded ..\python_embeded venv\Scripts .venv\Scripts) do (
  if not defined PYTHON if exist "%FOLDER%\%%P\python.exe" set "PYTHON=%FOLDER%\%%P\python.exe"
)
if defined PYTHON goto found
where py >nul 2>nul && (set "PYTHON=py" & goto found)
set "PYTHON=python"
:found
"%PYTHON%" "%~dp0install-comfyui.py" %*
exit /b %ERRORLEVEL%
