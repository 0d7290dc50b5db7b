#!/usr/bin/env bash
# The flow of Step-Audio on a corpus of your own, with the published stages.
#
#     bash runs/step_flow/train_flow.sh --stage 0 --stop_stage 6
#
# Needs wav.scp, text and utt2spk in data/train and data/dev. Data and results are written to
# the working directory. README.md has all settings.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)

while [ $# -gt 0 ]; do
    case $1 in
    --stage) stage=$2 ;;
    --stop_stage) stop_stage=$2 ;;
    *) echo "unknown flag $1: there are --stage and --stop_stage" >&2 && exit 2 ;;
    esac
    shift 2
done
stage=${stage:-0} stop_stage=${stop_stage:-6}
train_parts=${train_parts:-train} dev_parts=${dev_parts:-dev} test_parts=
train_engine=${TRAIN_ENGINE:-torch_ddp} num_workers=${NUM_WORKERS:-4} prefetch=${PREFETCH:-100}
source "$here/../cosyvoice_stages.sh"
pretrained_model_dir=${pretrained_model_dir:-pretrained/Step-Audio}
config=${config:-$here/conf/step_flow.yaml}
checkpoint=${checkpoint:-$pretrained_model_dir/CosyVoice-300M-25Hz/flow.pt}
linguistic=${linguistic:-linguistic.pt}
output=${output:-exp/step_flow/CosyVoice-300M-25Hz}

if due 0; then
    for part in $parts; do
        for table in wav.scp text utt2spk; do
            [ -s "data/$part/$table" ] || { echo "data/$part/$table is missing" >&2 && exit 2; }
        done
    done
fi
if due 1; then extract_embeddings; fi
if due 2; then
    for part in $parts; do
        "$PYTHON" -m sled cache tokens --input "data/$part" --num_threads "$num_threads" \
            --linguistic "$linguistic" \
            --tokenizer "${speech_tokenizer:-$pretrained_model_dir/speech_tokenizer_v1.onnx}"
    done
fi
if due 3; then make_parquet; fi
if due 4; then
    join_lists
    train_model step_flow flow --checkpoint "$checkpoint"
fi
if due 5; then # the newest ones
    tool average_model --dst_model "exp/step_flow/flow/$train_engine/flow_averaged.pt" \
        --src_path "exp/step_flow/flow/$train_engine" --num "$average_num"
fi
if due 6; then
    mkdir -p "$output"
    cp "exp/step_flow/flow/$train_engine/flow_averaged.pt" "$output/flow.pt"
    tool export_onnx --model_dir "$output"
fi
