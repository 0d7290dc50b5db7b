#!/usr/bin/env bash
# The whole experiment on a laptop CPU: a teacher voice reads digit strings, a codec and a model
# learn from it, and Whisper listens. At most 90 minutes on two cores.
#
#     pip install -e '.[eval]' && bash runs/digits/run.sh
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

cache() { # cache SPLIT MANIFEST: codes of one split
    sled cache codes --manifest "$RUN/data/$2" --codec "$RUN/codec" --output "$RUN/codes/$1"
}

stage data sled prepare digits --output "$RUN/data"
stage tokenizer sled tokenizer --input "$RUN/data/cuts_train.jsonl.gz" \
    --vocab_size 301 --output "$RUN/tokenizer"
stage codec sled codec train --train_manifest "$RUN/data/cuts_train.jsonl.gz" \
    --eval_manifest "$RUN/data/cuts_valid.jsonl.gz" --output_dir "$RUN/codec" --num_filters 16 \
    --max_steps 2500 --segment_s 0.64 --loudness_db -25 --latent_noise 0.1 --adversarial_at 0.6 \
    --bf16 "$BF16"
# When each word and letter is said, for the model to be taught where in its text it is.
stage align sled align --max_steps 250 \
    --manifest "$RUN/data/cuts_train.jsonl.gz" "$RUN/data/cuts_valid.jsonl.gz" \
    --output "$RUN/data/aligned_train.jsonl.gz" "$RUN/data/aligned_valid.jsonl.gz"
stage codes_train cache train aligned_train.jsonl.gz
stage codes_valid cache valid aligned_valid.jsonl.gz
# The model's latents: all directions that carry speech have the same variance (without that, a model
# of this size learns loudness and little else, and does not learn to read, see LOG.md). Four frames
# become one, so a step of training costs a quarter. Directions that tell sounds apart weigh more than
# the rest, and a token channel shows which word is being said, so the model knows where it is.
stage latents sled codec fit --codec "$RUN/codec" --codes "$RUN/codes/train" \
    --tokenizer "$RUN/tokenizer" --transforms whiten,group:4,emphasize:2,token-channel:32 \
    --output "$RUN/latents"
# Both layouts at once: a third of the batches stays offline. A digit is one token here, and lasts about
# 25 frames of the codec. The first chunk holds <s> and four digits, enough for 80 of them: no digit
# is due before it has been read. Lengths are mixed within a batch, in an order that changes: reading
# is learned sooner. Joined readings teach to go on after a prompt.
stage model sled train --output_dir "$RUN/model" \
    --train_manifest "$RUN/codes/train" --eval_manifest "$RUN/codes/valid" \
    --codec "$RUN/latents" --tokenizer "$RUN/tokenizer" --text_normalization digits \
    --hidden_size 256 --intermediate_size 688 --num_hidden_layers 6 --num_attention_heads 4 \
    --diffloss_d 3 --diffloss_w 512 --noise_channels 128 --max_position_embeddings 1024 \
    --dropout 0 --attention_dropout 0 --activation_dropout 0 --history_noise 1 \
    --alignment_weight 1 --stream_n 5 --stream_m 20 --offline_share 0.35 \
    --join_share 0.3 --max_joined_s 7 --max_frames_per_batch 250 --no_group_by_speech_length \
    --use_cpu --bf16 "$BF16" --max_steps 8000 --learning_rate 1.5e-3 --lr_scheduler_type linear \
    --warmup_steps 200 --weight_decay 0.01 --adam_beta2 0.98 --max_grad_norm 1.0 \
    --save_steps 500 --save_total_limit 2 --logging_steps 50 --eval_strategy steps \
    --eval_steps 500 --per_device_eval_batch_size 8 --prediction_loss_only \
    --report_to tensorboard --seed 0
stage results sled evaluate --manifest "$RUN/data/cuts_test.jsonl.gz" \
    --model "$RUN/model" --codec "$RUN/latents" --whisper "${WHISPER:-base}" \
    --output "$RUN/results" --temperature 0.65 --seeds 1
stage export sled export --model "$RUN/model" --codec "$RUN/latents" \
    --output "$RUN/export" --temperature 0.65

cat "$RUN/results/results.md"
echo "The model to ship is in $RUN/export; each stage's time is in $RUN/stages."
