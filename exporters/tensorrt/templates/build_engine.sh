#!/bin/sh
# Usage: build_engine.sh [build|compare] [more options of the tool]
#   build    an engine of model.onnx with trtexec, which comes with TensorRT's archives, not with its Python wheel
#   compare  the engine against ONNX Runtime on the inputs in parity.safetensors, with polygraphy
# build_engine.py and run_engine.py do the same in Python.
set -eu
cd "$(dirname "$0")"
action=${1:-build}
[ $# -eq 0 ] || shift
case $action in
build)
    # TensorRT 10 has to be asked for strong typing; 11 knows nothing else, and has no flags of precision.
    typed=
    if trtexec --help 2>&1 | grep -q -- --stronglyTyped; then typed=--stronglyTyped; fi
    # shellcheck disable=SC2086  # no word at all where it is empty
    trtexec --onnx=model.onnx --saveEngine=model.engine --timingCacheFile=timing.cache $typed \
        @TRTEXEC@ "$@"
    ;;
compare)@REFERENCE@
    polygraphy run model.onnx --trt --onnxrt --strongly-typed \
        @POLYGRAPHY@ \
        --data-loader-script run_engine.py --atol 1e-2 --rtol 1e-2 --check-error-stat mean "$@"
    ;;
*)
    sed -n '2,5s/^# //p' "$0"
    case $action in -h | --help) exit 0 ;; *) exit 2 ;; esac
    ;;
esac
