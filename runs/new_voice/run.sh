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
CHECKPOINT=${CHECKPOINT:-$ROOT/sled/bundled/english}
RUN=${RUN:-$ROOT/runs/new_voice/out}
PYTHON=${PYTHON:-python}
LORA=${LORA:-0}
STEPS=${STEPS:-2000}
HELD_OUT=${HELD_OUT:-50}
ALIGN_STEPS=${ALIGN_STEPS:-700}
OFFLINE_SHARE=${OFFLINE_SHARE:-0.5}

# A codec that comes with its checkpoint may have heard few voices, so it learns this one; the
# published codec has heard thousands.
CODEC=${CODEC:-}
for folder in "$CHECKPOINT/codec" "$(dirname "$CHECKPOINT")/codec"; do
    if [ -z "$CODEC" ] && [ -d "$folder" ]; then
        CODEC=$folder CODEC_STEPS=${CODEC_STEPS:-2000} ALIGN=${ALIGN:-1}
    fi
done
CODEC=${CODEC:-facebook/encodec_24khz}
CODEC_STEPS=${CODEC_STEPS:-0}
ALIGN=${ALIGN:-0} # the published codec has no token channel

if [ -z "${BF16:-}" ]; then
    BF16=false # processors without bfloat16 instructions emulate them, several times slower
    if command -v nvidia-smi >/dev/null || grep -qsE 'avx512_bf16|amx_bf16' /proc/cpuinfo; then BF16=true; fi
fi
mkdir -p "$RUN/stages"

source "$ROOT/runs/stages.sh" # stage

prepare() { # manifests of what is sound, some sentences held out
    local form=metadata-csv
    case $DATA in *.jsonl | *.jsonl.gz) form=jsonl ;; esac
    # shellcheck disable=SC2086  # flags are parted by spaces
    sled prepare "$form" --input "$DATA" --output "$RUN/data" --valid_count "$HELD_OUT" \
        ${PREPARE_FLAGS:-}
}

align() { # manifests with the times of words and letters
    sled align --manifest "$RUN/data/cuts_train.jsonl.gz" "$RUN/data/cuts_valid.jsonl.gz" \
        --output "$RUN/data/aligned_train.jsonl.gz" "$RUN/data/aligned_valid.jsonl.gz" \
        --max_steps "$ALIGN_STEPS" --model "$CHECKPOINT" ${WORKERS:+--num_workers "$WORKERS"}
}

cache() { # cache SPLIT: codes of one split
    sled cache codes --manifest "$RUN/data/${MANIFEST}_$1.jsonl.gz" --codec "$CODEC" \
        --output "$RUN/codes/$1" ${WORKERS:+--num_workers "$WORKERS"}
}

adapt_codec() { # its decoder, to this voice at any usual level; codes stay what they are
    # shellcheck disable=SC2086  # flags are parted by spaces
    sled codec train --finetune_path "$CODEC" --output_dir "$RUN/codec" \
        --train_manifest "$RUN/data/cuts_train.jsonl.gz" \
        --eval_manifest "$RUN/data/cuts_valid.jsonl.gz" \
        --max_steps "$CODEC_STEPS" --segment_s 0.64 --loudness_db -25 --loudness_jitter_db 8 \
        --latent_noise 0.1 --adversarial_at 0.3 --bf16 "$BF16" \
        --device auto ${CODEC_FLAGS:-}
}

train() {
    local how="--learning_rate 2e-4" batch="--max_seconds_per_batch 40"
    if [ -n "${BATCH_FRAMES:-}" ]; then batch="--max_frames_per_batch $BATCH_FRAMES"; fi
    if [ "$LORA" = 1 ]; then how="--learning_rate 1e-3 --lora_rank 16 --lora_alpha 32"; fi
    # shellcheck disable=SC2086  # flags are parted by spaces
    sled train --finetune_path "$CHECKPOINT" --tokenizer "$CHECKPOINT" --codec "$VOICE_CODEC" \
        --train_manifest "$RUN/codes/train" --eval_manifest "$RUN/codes/valid" \
        --output_dir "$RUN/model" --max_steps "$STEPS" --per_device_eval_batch_size 8 \
        $batch --bf16 "$BF16" \
        --lr_scheduler_type linear --warmup_steps 50 --weight_decay 0.01 --adam_beta2 0.98 \
        --max_grad_norm 1.0 --save_steps 250 --save_total_limit 2 --eval_strategy steps \
        --eval_steps 250 --logging_steps 25 --prediction_loss_only --report_to tensorboard \
        --seed 0 --offline_share "$OFFLINE_SHARE" $how ${TRAIN_FLAGS:-}
}

judge() { # judge OUTPUT MODEL CODEC MODES...: the held-out sentences, spoken and listened to
    local output=$1 model=$2 codec=$3
    shift 3
    # shellcheck disable=SC2086  # flags are parted by spaces
    sled evaluate --manifest "$RUN/data/cuts_valid.jsonl.gz" --model "$model" --codec "$codec" \
        --modes "$@" --whisper "${WHISPER:-base}" --output "$output" --seeds 1 \
        --speaker_encoder "${SPEAKER_ENCODER:-microsoft/wavlm-base-plus-sv}" ${EVALUATE_FLAGS:-}
}

stage data prepare
MANIFEST=cuts
if [ "$ALIGN" = 1 ]; then
    stage align align
    MANIFEST=aligned
fi
stage codes_train cache train
stage codes_valid cache valid
stage before judge "$RUN/before" "$CHECKPOINT" "$CODEC" teacher codec model
VOICE_CODEC=$CODEC
if [ "$CODEC_STEPS" -gt 0 ]; then
    stage codec adapt_codec
    VOICE_CODEC=$RUN/codec
fi
stage train train
stage after judge "$RUN/after" "$RUN/model" "$VOICE_CODEC" codec model
stage export sled export --model "$RUN/model" --codec "$VOICE_CODEC" --output "$RUN/voice"

echo "Before:"
cat "$RUN/before/results.md"
echo "After:"
cat "$RUN/after/results.md"
echo "The voice is in $RUN/voice; each stage's time is in $RUN/stages."
