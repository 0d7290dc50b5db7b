#!/usr/bin/env bash
# A voice from recordings and their transcripts: a checkpoint is fine-tuned on them.
#
#     pip install -e '.[eval,finetune]'
#     DATA=recordings CHECKPOINT=ICTNLP/SLED-TTS-Streaming-Libriheavy bash runs/new_voice/run.sh
#
# DATA is a folder with metadata.csv (name|text, as LJ Speech has it), or a .jsonl file with a line
# {"wav": "a.wav", "txt": "What it says."} for each recording. The other settings are told in
# README.md. Every stage continues where it was interrupted and is skipped once it is done (a file
# in $RUN/stages); for another voice, or other settings, name another RUN.
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
DATA=${DATA:?name a folder with metadata.csv, or a .jsonl file}
CHECKPOINT=${CHECKPOINT:-$ROOT/sled/bundled/digits}
RUN=${RUN:-$ROOT/runs/new_voice/out}
PYTHON=${PYTHON:-python}
LORA=${LORA:-0}
STEPS=${STEPS:-2000}
HELD_OUT=${HELD_OUT:-50}
BATCH_FRAMES=${BATCH_FRAMES:-3000}

CODEC=${CODEC:-}
for folder in "$CHECKPOINT/codec" "$(dirname "$CHECKPOINT")/codec"; do
    if [ -z "$CODEC" ] && [ -d "$folder" ]; then CODEC=$folder; fi
done
CODEC=${CODEC:-facebook/encodec_24khz}

if [ -z "${BF16:-}" ]; then
    BF16=false # processors without bfloat16 instructions emulate them, several times slower
    if command -v nvidia-smi >/dev/null || grep -qsE 'avx512_bf16|amx_bf16' /proc/cpuinfo; then
        BF16=true
    fi
fi
mkdir -p "$RUN/stages"

source "$ROOT/runs/stages.sh" # stage

script() { # script NAME FLAGS...
    local name=$1
    shift
    "$PYTHON" "$ROOT/scripts/$name.py" "$@"
}

prepare() { # manifests of what is sound, some sentences held out
    local form=metadata_csv
    case $DATA in *.jsonl | *.jsonl.gz) form=jsonl ;; esac
    # shellcheck disable=SC2086  # flags are parted by spaces
    script "prepare_$form" --input "$DATA" --output_dir "$RUN/data" --valid_count "$HELD_OUT" \
        ${PREPARE_FLAGS:-}
}

cache() { # cache SPLIT: codes of one split
    script cache_latents --manifest "$RUN/data/cuts_$1.jsonl.gz" --codec "$CODEC" \
        --output_dir "$RUN/codes/$1"
}

kept_settings() { # flags for those training settings of the checkpoint that flags would change
    "$PYTHON" - "$CHECKPOINT" <<'END'
import sys

from sled.config import SpeechLlamaConfig

NAMES = "stream_n stream_m dropout attention_dropout activation_dropout training_cfg history_noise"
config = SpeechLlamaConfig.from_pretrained(sys.argv[1])
for name in NAMES.split():
    if (value := getattr(config, name)) is not None:
        print(f"--{name} {value}")
END
}

train() {
    local kept how
    kept=$(kept_settings)
    how="--learning_rate 2e-4"
    if [ "$LORA" = 1 ]; then how="--learning_rate 1e-3 --lora_rank 16 --lora_alpha 32"; fi
    # shellcheck disable=SC2086  # flags are parted by spaces
    script train --finetune_path "$CHECKPOINT" --tokenizer "$CHECKPOINT" --codec "$CODEC" \
        --train_manifest "$RUN/codes/train" --eval_manifest "$RUN/codes/valid" \
        --output_dir "$RUN/model" --max_steps "$STEPS" --max_frames_per_batch "$BATCH_FRAMES" \
        --per_device_eval_batch_size 8 --bf16 "$BF16" --lr_scheduler_type linear \
        --warmup_steps 50 --weight_decay 0.01 --adam_beta2 0.98 --max_grad_norm 1.0 \
        --save_steps 250 --save_total_limit 2 --eval_strategy steps --eval_steps 250 \
        --logging_steps 25 --prediction_loss_only --report_to tensorboard --seed 0 \
        $kept $how ${TRAIN_FLAGS:-}
}

judge() { # judge OUTPUT MODEL MODES...: the held-out sentences, spoken and listened to
    local output=$1 model=$2
    shift 2
    # shellcheck disable=SC2086  # flags are parted by spaces
    script evaluate --manifest "$RUN/data/cuts_valid.jsonl.gz" --model "$model" --codec "$CODEC" \
        --modes "$@" --whisper "${WHISPER:-base}" --output "$output" --save_audio \
        --speaker_encoder "${SPEAKER_ENCODER:-microsoft/wavlm-base-plus-sv}" ${EVALUATE_FLAGS:-}
}

stage data prepare
stage codes_train cache train
stage codes_valid cache valid
stage before judge "$RUN/before" "$CHECKPOINT" teacher codec model
stage train train
stage after judge "$RUN/after" "$RUN/model" model
stage export script export --model "$RUN/model" --codec "$CODEC" --output "$RUN/voice"

echo "Before:"
cat "$RUN/before/results.md"
echo "After:"
cat "$RUN/after/results.md"
echo "The voice is in $RUN/voice; each stage's time is in $RUN/stages."
