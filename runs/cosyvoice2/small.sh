#!/usr/bin/env bash
# All stages of run.sh on a small corpus, with small models, on CPUs and without a download: a
# teacher voice reads strings of digits, a speech tokenizer is trained on them, and a language model
# learns to write its tokens, in two processes.
#
#     pip install -e '.[tokens]' && bash runs/cosyvoice2/small.sh
#
# Every stage continues where it was interrupted.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
RUN=${RUN:-$here/out}
PYTHON=${PYTHON:-python}
TRAIN=${TRAIN:-1000} VALID=${VALID:-50} EPOCHS=${EPOCHS:-10}
TOKENIZER_STEPS=${TOKENIZER_STEPS:-400} TOKENIZER_BATCH_S=${TOKENIZER_BATCH_S:-60}
mkdir -p "$RUN/stages" "$RUN/pretrained"
cd "$RUN"
RUN=$PWD
export PYTHONPATH=$repository${PYTHONPATH:+:$PYTHONPATH}

source "$here/../stages.sh"

stage corpus sled prepare digits --output corpus --train "$TRAIN" --joined 0 --valid "$VALID" \
    --test 10
# The speaker encoder has random weights: the language model of CosyVoice2 reads no speaker vector.
stage folders "$PYTHON" "$here/small.py" corpus
stage speech_tokenizer sled tokenizer speech train --train_manifest corpus/cuts_train.jsonl.gz \
    --eval_manifest corpus/cuts_valid.jsonl.gz --output pretrained/tokenizer --device cpu \
    --hidden_size 128 --num_layers 2 --num_heads 2 --max_steps "$TOKENIZER_STEPS" \
    --batch_duration_s "$TOKENIZER_BATCH_S"
cp pretrained/tokenizer/speech_tokenizer_v2.onnx pretrained/
stage text_tokenizer sled tokenizer --input corpus/cuts_train.jsonl.gz --vocab_size 301 \
    --output pretrained/CosyVoice-BlankEN
sed -e 's/lr: 1e-5/lr: 2e-3/; s/constantlr/warmuplr/; s/warmup_steps: .*/warmup_steps: 50/' \
    -e "s/max_epoch: .*/max_epoch: $EPOCHS/; s/log_interval: .*/log_interval: 20/" \
    -e 's/max_frames_in_batch: .*/max_frames_in_batch: 800/' \
    -e 's/min_length: 100/min_length: 30/; s/accum_grad: 2/accum_grad: 1/' \
    "$here/conf/cosyvoice2.yaml" >small.yaml

export train_parts=train dev_parts=valid test_parts=test data_dir=. pretrained_model_dir=pretrained
export config=small.yaml checkpoint= dist_backend=gloo num_gpus=2 num_workers=0 num_utts=${NUM_UTTS:-100}
export speaker_encoder=pretrained/campplus.safetensors num_threads=1 num_processes=1
export average_num=3 OMP_NUM_THREADS=1 PYTHON
stage=0 stop_stage=6 bash "$here/run.sh"
