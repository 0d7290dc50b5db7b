#!/usr/bin/env bash
# A small voice for any English text: corpus, tokenizer, latents, model, evaluation.
#
#     pip install -e '.[eval]'
#     TEXTS=ljspeech-text bash runs/english/run.sh          # on the processor, for hours
#     SETTING=gpu TEXTS=ljspeech-text bash runs/english/run.sh
#
# TEXTS is a folder with train.txt and val.txt, a sentence a line. The other settings are told in
# README.md. Every stage continues where it was interrupted, and is skipped once it is done (a file
# in $RUN/stages, or for training the steps in its folder). With MINUTES training ends in time, and
# the same command goes on.
set -euo pipefail
cd "$(dirname "$0")/../.."

SETTING=${SETTING:-cpu}
RUN=${RUN:-runs/english/out}
PYTHON=${PYTHON:-python}
MINUTES=${MINUTES:-}
STAGES=${STAGES:-corpus latents model sound results}

HOURS=${HOURS:-46}
VOICES=${VOICES:-}
PIPER=${PIPER:-}
VOICE_HOURS=${VOICE_HOURS:-1}
HELD_OUT=${HELD_OUT:-}
CODEC=${CODEC:-spectral}
START=${START:-}
TOKENIZER=${START:-$RUN/tokenizer} # a model that is to go on keeps its own

# Steps, latents per batch, and sizes. On a processor steps are what
# is missing, so batches are small, and larger only where gradients are to be less noisy.
case $SETTING in
cpu) # 10 M parameters, then 17 M
    DEVICE=cpu WORKERS=0 LEARNING_RATE=5e-4 SPOKEN=0 EVAL_STEPS=${EVAL_STEPS:-1000}
    SIZES="--hidden_size 256 --intermediate_size 688 --num_hidden_layers 6 --num_attention_heads 4
        --diffloss_d 3 --diffloss_w 512 --noise_channels 128 --max_position_embeddings 2048"
    GROWN="--hidden_size 384 --intermediate_size 1032 --num_attention_heads 6 --diffloss_d 4"
    FRAMES=300 STEPS=${STEPS:-40000} FRAMES_COOL=600 STEPS_COOL=${STEPS_COOL:-10000}
    ;;
gpu) # 37 M parameters
    DEVICE=cuda WORKERS=8 LEARNING_RATE=1e-3 SPOKEN=0 EVAL_STEPS=${EVAL_STEPS:-500}
    SIZES="--hidden_size 512 --intermediate_size 1376 --num_hidden_layers 8 --num_attention_heads 8
        --diffloss_d 3 --diffloss_w 768 --noise_channels 128 --max_position_embeddings 2048"
    GROWN=
    FRAMES=4000 STEPS=${STEPS:-12000} FRAMES_COOL=4000 STEPS_COOL=${STEPS_COOL:-4000}
    ;;
*)
    echo "SETTING=$SETTING: choose cpu or gpu" >&2
    exit 2
    ;;
esac
BF16=false # processors without bfloat16 instructions emulate them, several times slower
if [ "$DEVICE" = cuda ] || grep -qsE 'avx512_bf16|amx_bf16' /proc/cpuinfo; then BF16=true; fi
# As the model speaks best.
speaking=(--temperature 0.3 --cfg 1 --draws 3)
mkdir -p "$RUN/stages"

source runs/stages.sh # stage

corpus() {
    local flags=(--output "$RUN/data" --texts "$TEXTS/train.txt" --test_texts "$TEXTS/val.txt"
        --hours "$HOURS" --voice_hours "$VOICE_HOURS" --word_share 0.09 --piece_share 0.33)
    # shellcheck disable=SC2206  # voices are parted by spaces
    [ -z "$VOICES" ] || flags+=(--voices $VOICES
        --kokoro_model "$KOKORO/kokoro.onnx" --kokoro_voices "$KOKORO/voices.npz")
    # shellcheck disable=SC2206  # files are parted by spaces
    [ -z "$PIPER" ] || flags+=(--piper_models $PIPER)
    [ -z "${RECORDINGS:-}" ] || flags+=(--recordings "$RECORDINGS")
    [ -z "$HELD_OUT" ] || flags+=(--held_out "$HELD_OUT")
    sled prepare english "${flags[@]}"
}

codes() { # codes SPLIT MANIFEST
    sled cache codes --manifest "$RUN/data/$2" --codec "$CODEC" \
        --output "$RUN/codes/$1" --device "$DEVICE"
}

trained() { # trained NAME STEPS: whether a training stage has come to its end
    grep -qs "\"global_step\": $2," "$RUN/$1/trainer_state.json"
}

train() { # train NAME STEPS FRAMES FLAGS...: one stage of training
    local name=$1 steps=$2 frames=$3 device=() limit=()
    shift 3
    trained "$name" "$steps" && return
    if [ -n "$MINUTES" ]; then
        local left=$((60 * MINUTES - SECONDS))
        [ "$left" -gt 30 ] || time_is_up "$name"
        limit=(--max_minutes "$((left / 60)).$(printf %02d $((left % 60 * 100 / 60)))")
    fi
    [ "$DEVICE" = cuda ] || device=(--use_cpu)
    echo "== $name"
    # It will be another model that is to grow, and another that is to be heard.
    [ "$name" != model ] || rm -f "$RUN/stages/grow"
    (cd "$RUN/stages" && rm -f export results_{0,1000,2000,clone})
    sled train --output_dir "$RUN/$name" --max_steps "$steps" \
        --train_manifest "$RUN/codes/train" --eval_manifest "$RUN/codes/valid" \
        --codec "$RUN/latents" --tokenizer "$TOKENIZER" "${device[@]}" "${limit[@]}" \
        --bf16 "$BF16" --max_frames_per_batch "$frames" --no_group_by_speech_length \
        --per_device_eval_batch_size 8 \
        --dataloader_num_workers "$WORKERS" --dropout 0 --attention_dropout 0 \
        --activation_dropout 0 --learning_rate "$LEARNING_RATE" --weight_decay 0.01 \
        --adam_beta2 0.98 --max_grad_norm 1.0 --save_steps 500 --save_total_limit 2 \
        --logging_steps 50 --eval_strategy steps --eval_steps "$EVAL_STEPS" --prediction_loss_only \
        --num_eval_utterances "$SPOKEN" --report_to tensorboard --seed 0 "$@"
    trained "$name" "$steps" || time_is_up "$name"
}

time_is_up() { # time_is_up NAME
    echo "time is up in stage $1: the same command goes on"
    exit 0
}

# All lengths from the start, mixed within a batch: one attention head is taught which token is being
# said, and that comes soon. Two readings joined to more than 12 s are left out: they cost most. It is
# also the most that the voice will say at once, a prompt included; longer texts are divided. Tokens
# of this size are said at 10 a second, and 11 frames last 0.6 s: with 12 tokens the model knows half a
# second of text ahead from the start. Half of the batches
# stay offline, so that one checkpoint speaks in both layouts. The learning rate comes down only in
# the second stage: to train on, raise STEPS and do that again. There the model hears frames of its
# own, as it does when it speaks, in the place of up to all of the true ones. Without a prompt it is
# to speak like the main teacher. On a processor it grows
# between the two: the first stage costs least with a small model. With START the second stage alone
# is done, from that model, which is first moved to these latents.
model() {
    local both=(--max_duration_s 12 --join_share 0.15 --max_joined_s 12 --alignment_weight 1
        --stream_n 12 --stream_m 11 --offline_share 0.5 --main_speaker heart)
    local base=$RUN/model
    if [ -n "$START" ]; then
        base=$RUN/moved
        stage moved "$PYTHON" runs/english/move.py "$START" "$RUN/latents" \
            "$RUN/data/aligned_train.jsonl.gz" "$RUN/moved"
    else
        # shellcheck disable=SC2086  # sizes are parted by spaces
        train model "$STEPS" "$FRAMES" "${both[@]}" --lr_scheduler_type constant_with_warmup \
            --warmup_steps 300 --history_noise 1 --text_normalization english-phonemes $SIZES
        if [ -n "$GROWN" ]; then
            base=$RUN/grown
            stage grow grow
        fi
    fi
    train cool "$STEPS_COOL" "$FRAMES_COOL" "${both[@]}" --lr_scheduler_type linear --warmup_steps 50 \
        --ema_decay 0.998 --history_noise 0.5 --scheduled_sampling 1 --finetune_path "$base"
}

grow() {
    rm -rf "$RUN/grown"
    # shellcheck disable=SC2086  # sizes are parted by spaces
    sled grow --model "$RUN/model" --output "$RUN/grown" $GROWN
}

# The codec's decoder is trained on with this voice and a discriminator. Latents do not change, so this
# can also be done while the model is trained.
sound() {
    stage sound sled codec train --finetune_path "$RUN/latents" \
        --train_manifest "$RUN/data/aligned_train.jsonl.gz" \
        --eval_manifest "$RUN/data/aligned_valid.jsonl.gz" --output_dir "$RUN/sound" \
        --max_steps "${SOUND_STEPS:-4000}" --segment_s 0.64 --loudness_db -25 --latent_noise 0.1 \
        --learning_rate 2e-4 --adversarial_learning_rate 2e-4 --discriminator_learning_rate 5e-4 \
        --adversarial_at 0.01 --discriminator_filters 32 --decoder_average 0.998 \
        --bf16 "$BF16" --device "$DEVICE"
}

evaluate() { # evaluate NAME SPLIT CODEC FLAGS...
    local name=$1 split=$2 codec=$3
    shift 3
    sled evaluate --manifest "$RUN/data/cuts_$split.jsonl.gz" --model "$RUN/cool" \
        --codec "$RUN/$codec" --whisper "${WHISPER:-base}" --output "$RUN/results/$name" \
        --seeds 1 "${speaking[@]}" "$@"
}

results() {
    # shellcheck disable=SC2086  # flags are parted by spaces
    stage results_codec evaluate codec test latents --modes teacher codec ${JUDGES:-}
    for seed in 0 1000 2000; do
        # shellcheck disable=SC2086
        stage "results_$seed" evaluate "seed_$seed" test sound --modes offline stream --seed "$seed" \
            ${JUDGES:-}
    done
    # shellcheck disable=SC2086
    [ -z "$HELD_OUT" ] || stage results_clone evaluate clone clone sound --modes teacher clone \
        --speaker_encoder "${SPEAKER_ENCODER:-resemblyzer}" ${JUDGES:-}
    stage export sled export --model "$RUN/cool" --codec "$RUN/sound" --output "$RUN/export" \
        "${speaking[@]}"
    tail -n +1 "$RUN"/results/*/results.md
    echo "The model to ship is in $RUN/export; each stage's time is in $RUN/stages."
}

for part in $STAGES; do
    case $part in
    corpus)
        TEXTS=${TEXTS:?name a folder with train.txt and val.txt}
        stage data corpus
        stage align sled align --text_normalization english-phonemes --max_steps 700 \
            --manifest "$RUN/data/cuts_train.jsonl.gz" "$RUN/data/cuts_valid.jsonl.gz" \
            --output "$RUN/data/aligned_train.jsonl.gz" "$RUN/data/aligned_valid.jsonl.gz"
        [ -n "$START" ] || stage tokenizer sled tokenizer --input "$RUN/data/cuts_train.jsonl.gz" \
            --vocab_size "${VOCAB:-360}" --text_normalization english-phonemes --output "$RUN/tokenizer"
        ;;
    latents)
        stage codes_train codes train aligned_train.jsonl.gz
        stage codes_valid codes valid aligned_valid.jsonl.gz
        # Directions that tell sounds apart weigh more, and a token channel shows which token is
        # being said: a model that hears its past knows where it is.
        stage latents sled codec fit --codec "$CODEC" --codes "$RUN/codes/train" \
            --tokenizer "$TOKENIZER" --output "$RUN/latents" \
            --transforms emphasize:12,token-channel:32:norm=6
        ;;
    model) model ;;
    sound) sound ;;
    results) results ;;
    *)
        echo "STAGES=$STAGES: choose from corpus, latents, model, sound and results" >&2
        exit 2
        ;;
    esac
done
