#!/usr/bin/env bash
# The paper's ablations in small, on digits: heads and scores, chunks of the stream, guidance. Every
# variant is trained for the same processor time, or for the same number of steps, from the same codec,
# tokenizer and codes, with three seeds, and judged on the same texts.
#
#     bash runs/digits/run.sh && bash runs/ablations/run.sh
#
# It continues where it was interrupted: a variant that is done has a file in $RUN/stages. DIGITS is the
# folder of the digits recipe, of which data, tokenizer, codes and latents are taken. EQUAL says what
# the variants have in common: "time" (MINUTES of processor time a thread) or "steps" (STEPS). VARIANTS
# and SEEDS choose less or more; the table has the variants that are done. All speak with guidance 2 and
# noise 0.65, but those of GUIDANCE.
set -euo pipefail
cd "$(dirname "$0")/../.."

DIGITS=${DIGITS:-runs/digits/out}
RUN=${RUN:-runs/ablations/out}
EQUAL=${EQUAL:-time}
MINUTES=${MINUTES:-6}
STEPS=${STEPS:-5000}
SEEDS=${SEEDS:-0 1 2}
VARIANTS=${VARIANTS:-energy-2 energy-8 energy-beta-1.5 no-repulsion gaussian-mmd laplacian-mmd drifting
    flow-8 flow-map-1 gaussian stream-5-10 stream-5-40}
GUIDANCE=${GUIDANCE-1 1.5 3}
case $EQUAL in
    time) LENGTH=(--training_minutes "$MINUTES") ;;
    steps) LENGTH=(--max_steps "$STEPS") ;;
    *) echo "EQUAL=$EQUAL: choose time or steps" >&2 && exit 2 ;;
esac
mkdir -p "$RUN/stages"
# Another length would be compared with this one.
[ -f "$RUN/length" ] || echo "${LENGTH[*]}" >"$RUN/length"
if [ "$(cat "$RUN/length")" != "${LENGTH[*]}" ]; then
    echo "$RUN holds variants that were trained with $(cat "$RUN/length"): name another RUN" >&2
    exit 2
fi
source runs/stages.sh # stage

flags_of() { # flags_of VARIANT: what differs from the first variant
    case $1 in
        energy-2) ;;
        energy-8) echo --score_samples 8 ;;
        energy-beta-1.5) echo --score_beta 1.5 ;;
        no-repulsion) echo --score attraction ;;
        gaussian-mmd) echo --score gaussian_mmd --score_samples 8 ;;
        laplacian-mmd) echo --score laplacian_mmd --score_samples 8 ;;
        drifting) echo --score drifting --score_samples 8 ;;
        flow-8) echo --head flow --head_steps 8 --score_samples 4 ;;
        flow-map-1) echo --head flow_map --score_samples 4 ;;
        gaussian) echo --head gaussian ;;
        stream-5-10) echo --stream_n 5 --stream_m 10 ;;
        stream-5-40) echo --stream_n 5 --stream_m 40 ;;
        *) echo "no variant $1" >&2 && return 1 ;;
    esac
}

train() { # train VARIANT SEED: later flags replace earlier ones
    local flags
    flags=$(flags_of "$1") # a variant of another name ends the run
    # shellcheck disable=SC2086  # flags are parted by spaces
    sled train --output_dir "$RUN/models/$1-$2" --seed "$2" \
        --train_manifest "$DIGITS/codes/train" --eval_manifest "$DIGITS/codes/valid" \
        --codec "$DIGITS/latents" --tokenizer "$DIGITS/tokenizer" --text_normalization digits \
        --hidden_size 192 --intermediate_size 512 --num_hidden_layers 3 --num_attention_heads 4 \
        --diffloss_d 2 --diffloss_w 256 --noise_channels 64 --max_position_embeddings 1024 \
        --dropout 0 --attention_dropout 0 --activation_dropout 0 --history_noise 1 \
        --alignment_weight 1 --stream_n 5 --stream_m 20 --offline_share 0.35 \
        --max_frames_per_batch 250 --no_group_by_speech_length --use_cpu "${LENGTH[@]}" \
        --learning_rate 1e-3 --lr_scheduler_type constant_with_warmup --warmup_steps 200 --adam_beta2 0.98 --max_grad_norm 1.0 --ema_decay 0.998 \
        --save_steps 500 --save_total_limit 1 --logging_steps 50 --eval_strategy no \
        --report_to none $flags ${TRAIN_FLAGS:-}
}

judge() { # judge VARIANT SEED NAME FLAGS...
    local model=$RUN/models/$1-$2 name=$3 seed=$2
    shift 3
    sled evaluate --manifest "$DIGITS/data/cuts_test.jsonl.gz" --model "$model" \
        --codec "$DIGITS/latents" --whisper "${WHISPER:-base}" --modes offline stream \
        --seeds 1 --seed "$((1000 * seed))" --output "$RUN/results/$name/$seed" "$@" \
        ${JUDGE_FLAGS:-}
}

judge_head() { # judge_head VARIANT SEED: its draws beside held-out recordings
    "${PYTHON:-python}" runs/ablations/head.py "$RUN/models/$1-$2" "$DIGITS/latents" \
        "$DIGITS/codes/valid" "$RUN/results/$1/$2/head.json"
}

for seed in $SEEDS; do
    for variant in $VARIANTS; do
        stage "train-$variant-$seed" train "$variant" "$seed"
        stage "judge-$variant-$seed" judge "$variant" "$seed" "$variant" --temperature 0.65 --cfg 2
        stage "head-$variant-$seed" judge_head "$variant" "$seed"
    done
    for scale in $GUIDANCE; do
        [ -f "$RUN/stages/train-energy-2-$seed" ] || continue # its guidance is compared
        stage "judge-cfg-$scale-$seed" judge energy-2 "$seed" "cfg-$scale" --temperature 0.65 \
            --cfg "$scale"
    done
done
"${PYTHON:-python}" runs/ablations/table.py "$RUN"
