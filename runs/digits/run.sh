#!/usr/bin/env bash
# The whole experiment on a laptop CPU: a teacher voice reads digit strings, a codec and a model
# learn from it, and Whisper listens. At most 90 minutes on two cores.
#
#     pip install -e '.[teacher,eval]' && bash runs/digits/run.sh
#
# Every stage continues where it was interrupted and is skipped once it is done (a file in
# stages/); delete the file, and those after it, to do a stage again. The judge is Whisper base,
# from the hub, or from the folder that WHISPER names.
set -euo pipefail
cd "$(dirname "$0")/../.."

RUN=${RUN:-runs/digits/out}
PYTHON=${PYTHON:-python}
# Processors without bfloat16 instructions emulate them, several times slower than float32.
BF16=false
if grep -qsE 'avx512_bf16|amx_bf16' /proc/cpuinfo; then BF16=true; fi
mkdir -p "$RUN/stages"

source runs/stages.sh # stage

cache() { # cache SPLIT: codes of one split
    "$PYTHON" scripts/cache_latents.py --manifest "$RUN/data/cuts_$1.jsonl.gz" \
        --codec "$RUN/codec" --output_dir "$RUN/codes/$1"
}

train() { # train OUTPUT_DIR FLAGS...: what pretraining and fine-tuning share
    local output=$1
    shift
    "$PYTHON" scripts/train.py --output_dir "$output" \
        --train_manifest "$RUN/codes/train" --eval_manifest "$RUN/codes/valid" \
        --codec "$RUN/whitened" --tokenizer "$RUN/tokenizer" --history_noise 1 \
        --use_cpu --bf16 "$BF16" --max_frames_per_batch 800 --no_group_by_speech_length \
        --per_device_eval_batch_size 8 \
        --dropout 0 --attention_dropout 0 --activation_dropout 0 \
        --learning_rate 1.5e-3 --weight_decay 0.01 --adam_beta2 0.98 --max_grad_norm 1.0 \
        --save_steps 250 --save_total_limit 2 --logging_steps 50 --eval_strategy steps \
        --eval_steps 500 --prediction_loss_only --report_to tensorboard --seed 0 "$@"
}

stage data "$PYTHON" scripts/prepare_digits.py --output "$RUN/data"
stage tokenizer "$PYTHON" scripts/train_tokenizer.py --input "$RUN/data/cuts_train.jsonl.gz" \
    --vocab_size 301 --output_dir "$RUN/tokenizer"
stage codec "$PYTHON" scripts/train_codec.py --train_manifest "$RUN/data/cuts_train.jsonl.gz" \
    --eval_manifest "$RUN/data/cuts_valid.jsonl.gz" --output_dir "$RUN/codec" --num_filters 16 \
    --max_steps 2500 --segment_s 0.64 --loudness_db -25 --latent_noise 0.1 --adversarial_at 0.6 \
    --bf16 "$BF16"
stage codes_train cache train
stage codes_valid cache valid
# The model's latents: those of the codec with all directions that carry speech equally wide. Without
# that a model of this size hears loudness and little else, and does not learn to read, see LOG.md.
stage whiten "$PYTHON" scripts/whiten_latents.py --codec "$RUN/codec" --codes "$RUN/codes/train" \
    --output_dir "$RUN/whitened"
# Lengths are mixed within a batch, in an order that changes: reading is learned sooner. Short strings
# first, from which a model finds out soonest that there is a text. The learning rate stays up until
# fine-tuning brings it down: no step is spent on cooling twice.
stage short train "$RUN/short" --max_steps 2500 --lr_scheduler_type constant_with_warmup \
    --warmup_steps 200 --max_duration_s 1.8 --hidden_size 256 --intermediate_size 688 \
    --num_hidden_layers 6 --num_attention_heads 4 --diffloss_d 3 --diffloss_w 384 \
    --noise_channels 64 --max_position_embeddings 1024
# A digit is one token here, and lasts about 25 frames. The first chunk holds <s> and four digits,
# enough for 80 frames: no digit is due before it has been read. Half of the batches stay offline,
# so that one checkpoint speaks in both layouts.
stage stream train "$RUN/stream" --max_steps 8000 --lr_scheduler_type linear --warmup_steps 50 \
    --finetune_path "$RUN/short" --stream_n 5 --stream_m 80 --offline_share 0.5
stage results "$PYTHON" scripts/evaluate.py --manifest "$RUN/data/cuts_test.jsonl.gz" \
    --model "$RUN/stream" --codec "$RUN/whitened" --whisper "${WHISPER:-base}" \
    --output "$RUN/results" --save_audio
stage export "$PYTHON" scripts/export.py --model "$RUN/stream" --codec "$RUN/whitened" \
    --output "$RUN/export"

cat "$RUN/results/results.md"
echo "The model to ship is in $RUN/export; each stage's time is in $RUN/stages."
